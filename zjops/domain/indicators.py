"""Service level indicators: their names, and what of a request or a job is good or bad (C59, C78, S13).

The log's readers and the platform's metrics both count by these, so that they cannot say different things.
"""

from __future__ import annotations

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
