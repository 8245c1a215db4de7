"""Puts our counts into Locust's own statistics, so that its web page, tables and CSV files show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from locust.stats import RequestStats, StatsEntry, bucket_response_time

from zjops.load.records import Tick

METHODS = {"submit": ("POST", "/v1/jobs"), "bulk": ("POST", "/v1/jobs:batch"), "list": ("GET", "/v1/jobs"),
           "read": ("GET", "/v1/jobs/{id}"), "status": ("GET", "/v1/jobs/{id}/status"),
           "told": ("GET", "/v1/jobs/{id}/stream"), "flood": ("POST", "/v1/jobs, flood")}  # fmt: skip


def show(stats: RequestStats, ticks: Iterable[Tick], second: int) -> None:
    """Add what is new; `second` is the Unix time that it counts for. Times are from when a request was due."""
    for tick in ticks:
        method, name = METHODS[tick.op]
        entry = _entry(stats, name, method, tick, second)
        for known in (stats.total, stats.get(name, method)):
            known.extend(entry)
            if known.use_response_times_cache:
                known._cache_response_times(second)


def _entry(stats: RequestStats, name: str, method: str, tick: Tick, second: int) -> Any:
    made: Any = StatsEntry(stats, name, method)
    times = tick.latency or {0: 0}
    made.num_requests = tick.started + tick.dropped
    made.num_failures = tick.shed + tick.errors + tick.timeouts + tick.dropped
    made.num_none_requests = made.num_requests - sum(tick.latency.values())
    made.total_response_time = sum(us * count for us, count in tick.latency.items()) / 1000
    made.min_response_time, made.max_response_time = min(times) / 1000, max(times) / 1000
    made.last_request_timestamp = second
    made.num_reqs_per_sec[second] = made.num_requests
    made.num_fail_per_sec[second] = made.num_failures
    for us, count in tick.latency.items():
        made.response_times[bucket_response_time(us / 1000)] += count
    return made
