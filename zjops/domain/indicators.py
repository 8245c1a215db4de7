"""Service level indicators: their names, and what of a request or a job is good or bad (C59, C78, S13).

The log's readers and the platform's metrics both count by these, so that they cannot say different things.
"""

from __future__ import annotations

from typing import NamedTuple

AVAILABILITY, LATENCY = "availability", "latency"
START, CONFIRMATION, SUCCESS, DURATION = "start", "confirmation", "job-success", "job-duration"

OF_REQUESTS = (AVAILABILITY, LATENCY)
OF_JOBS = (START, CONFIRMATION, SUCCESS, DURATION)
KINDS = (*OF_REQUESTS, *OF_JOBS)

TIMED = frozenset({LATENCY, START, CONFIRMATION, DURATION})
"""Indicators that ask whether something came within a time."""

LATENCIES_MS = (300, 500)
"""The times within which answers are counted exactly; no other can be told."""

EVERY_PLAN = "all"
"""Stands for all plans together."""


class Indicator(NamedTuple):
    """What is counted: one of `KINDS`, and for some the time within which it must come, in ms."""

    kind: str
    within_ms: int | None = None

    @property
    def name(self) -> str:
        """A name that tells indicators apart, such as `latency-300ms`; the label `sli` of the metrics."""
        return self.kind if self.within_ms is None else f"{self.kind}-{_short(self.within_ms)}"


START_WITHIN_MS, CONFIRMED_WITHIN_MS, ENDED_WITHIN_MS = 30_000, 60_000, 300_000

COUNTED = (
    Indicator(AVAILABILITY), *(Indicator(LATENCY, bound) for bound in LATENCIES_MS), Indicator(START, START_WITHIN_MS),
    Indicator(CONFIRMATION, CONFIRMED_WITHIN_MS), Indicator(SUCCESS), Indicator(DURATION, ENDED_WITHIN_MS),
)  # fmt: skip
"""Those that the platform counts in its metrics, by `EVENTS_METRIC`; the log tells of others too."""

EVENTS_METRIC = "slo_events_total"
"""Events of an indicator, with the labels `sli`, `plan` and `outcome`. The plan of probes is `prober`."""
GOOD, BAD = "good", "bad"


def _short(ms: int) -> str:
    if ms % 60_000 == 0:
        return f"{ms // 60_000}m"
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"
