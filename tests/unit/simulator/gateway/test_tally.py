"""The tally of requests says what the library's own counters would say."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from simulator.gateway.tally import RequestTally
from simulator.telemetry import BYTES, SECONDS

ANSWERS = [
    ("GET", "/v1/jobs", 200, "pro", 0.005, 0.0),
    ("GET", "/v1/jobs", 200, "free", 0.3, 0.0),
    ("GET", "/v1/jobs", 503, "pro", 99.0, 12.0),
    ("POST", "/v1/jobs", 202, "pro", 0.0301, 256.0),
    ("POST", "/v1/jobs", 202, "pro", 0.0, 1e9),
]


def _lines(registry: CollectorRegistry) -> set[str]:
    text = generate_latest(registry).decode()
    return {line for line in text.splitlines() if not line.startswith("#") and "_created" not in line}


def test_it_is_what_counters_and_histograms_of_the_library_say() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = RequestTally()
    ours.register(tally)
    total = Counter("http_requests_total", ".", ("method", "route", "status", "plan"), registry=theirs)
    times = Histogram(
        "http_request_duration_seconds", ".", ("method", "route", "plan"), buckets=SECONDS, registry=theirs
    )
    sizes = Histogram("http_request_size_bytes", ".", ("method", "route"), buckets=BYTES, registry=theirs)
    for method, route, status, plan, seconds, size in ANSWERS:
        tally.add((method, route, status, plan), seconds, size)
        total.labels(method, route, str(status), plan).inc()
        times.labels(method, route, plan).observe(seconds)
        sizes.labels(method, route).observe(size)
    assert _lines(ours) == _lines(theirs)
