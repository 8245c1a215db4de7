"""The request log's vocabulary: what one second of answered requests is, and by which boundaries they are counted.

A rollup is a row of `log/requests/`: how many requests of one route, method, status and plan a process answered in one
second, and how quickly. Shares within 300 and 500 ms are counted, never read off a curve (C78): both are boundaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

LATENCY_BOUNDS_MS = (5, 10, 25, 50, 75, 100, 250, 300, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000)
"""Upper bounds, each included, of all histogram columns but the last, which counts what took longer.

They are OpenTelemetry's advised ones with 300 ms added (C60).
"""

QUICK_MS, SLOW_MS = 300, 500
TIMED_OUT = frozenset({0, 408})
"""Statuses below 500 of a request that was not answered in its time; 0 is one that was not answered at all."""

API, PROBER = "api", "prober"
"""Who counted: the process that answered, or the prober that asked."""

NOBODY, UNKNOWN = "none", "unknown"
"""The plan of a request without a valid token, and of one whose tenant could not be looked up. Only the first is left
out of availability, which counts authenticated requests (C78)."""

PROBER_TENANT, OPERATIONS_TENANT = "prober", "operations"
UNBILLED = frozenset({PROBER_TENANT, OPERATIONS_TENANT})
"""Tenants of the platform itself: they have usage and no invoice (C79)."""

REQUEST_LOG = "requests"
"""The folder of the log that holds these rows."""

TELEMETRY_HTTP = "telemetry.http"
"""The subject on TELEMETRY: a message is a list of rollups, all of one process and second."""


class Rollup(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the request log.

    `second` is Unix time in s, the one in which the answers ended up; after a day rows are folded to minutes, and it is
    the minute's first second. `within_300ms` and `within_500ms` count 2xx alone. `timeouts` count what was not answered
    within 10 s or at all, unless it counts in `errors_5xx`, so that the two add up to what availability calls bad.

    The prober's rows have the source `prober` and count one probe each; a probe is bad unless its status is 2xx and it
    is no timeout. What the API answered to the prober has the source `api` and the plan `prober`, so that no request
    needs to count twice.
    """

    second: int
    process: str
    source: Literal["api", "prober"] = "api"
    route: str
    method: str
    status: int
    plan: str
    count: int
    within_300ms: int
    within_500ms: int
    errors_5xx: int
    timeouts: int
    latency_ms_histogram: list[int]


def rollup_of(
    counts: Sequence[int], *, second: int, process: str, route: str, method: str, status: int, plan: str,
    source: Literal["api", "prober"] = "api",
) -> Rollup:  # fmt: skip
    """The row that follows from how many requests fell below each boundary (`counts` has one more for the rest)."""
    total = sum(counts)
    good = 200 <= status < 300
    late = total if status in TIMED_OUT else counts[-1]
    return Rollup(
        second=second, process=process, source=source, route=route, method=method, status=status, plan=plan,
        count=total, within_300ms=_within(counts, QUICK_MS) if good else 0,
        within_500ms=_within(counts, SLOW_MS) if good else 0, errors_5xx=total if status >= 500 else 0,
        timeouts=0 if status >= 500 else late, latency_ms_histogram=list(counts),
    )  # fmt: skip


def is_good_probe(row: Rollup) -> bool:
    """Whether a probe was answered by a 2xx in its time."""
    return 200 <= row.status < 300 and not row.errors_5xx and not row.timeouts


def _within(counts: Sequence[int], bound_ms: int) -> int:
    return sum(counts[: LATENCY_BOUNDS_MS.index(bound_ms) + 1])
