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


def test_what_came_in_since_the_last_second_is_taken_once() -> None:
    tally = RequestTally()
    for method, route, status, plan, seconds, size in ANSWERS:
        tally.add((method, route, status, plan), seconds, size)
    first = {(row.method, row.status, row.plan): row for row in tally.take(7, "api")}
    assert {key: row.count for key, row in first.items()} == {
        ("GET", 200, "pro"): 1, ("GET", 200, "free"): 1, ("GET", 503, "pro"): 1, ("POST", 202, "pro"): 2,
    }  # fmt: skip
    assert first["GET", 200, "free"].within_300ms == 1
    assert first["GET", 503, "pro"].errors_5xx == 1
    assert {row.second for row in first.values()} == {7}
    assert tally.take(8, "api") == []
    tally.add(("POST", "/v1/jobs", 202, "pro"), 0.4, 1.0)
    (row,) = tally.take(9, "api")
    assert (row.count, row.within_300ms, row.within_500ms, sum(row.latency_ms_histogram)) == (1, 0, 1, 1)
