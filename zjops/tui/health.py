"""How each stage stands, in a word and with the reason. Pure; the bounds are those of the objectives (C78)."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Level(enum.StrEnum):
    """How something stands; the value is the word that is shown."""

    OK = "ok"
    SLOW = "slow"
    FAILING = "failing"
    STALE = "stale"
    IDLE = "idle"
    UNKNOWN = "unknown"


GLYPHS = {
    Level.OK: "●", Level.SLOW: "▲", Level.FAILING: "✖", Level.STALE: "◌", Level.IDLE: "○", Level.UNKNOWN: "?",
}  # fmt: skip
START_WITHIN_MS, FINAL_WITHIN_MS = 30_000, 60_000
OUTBOX_SLOW_MS, OUTBOX_LATE_MS = 1_000, 15_000
"""The relay may give way to submissions for ten seconds: that is slow, and no failure."""
BAD_SHARE, SLOW_SHARE = 0.01, 0.001
FAILED_SHARE, LEAST_JOBS = 0.05, 20


class Health(NamedTuple):
    """A level and why."""

    level: Level
    why: str = ""


def of_requests(total: int, bad: int, answered_within: int | None) -> Health:
    """The gateway: bad answers first, then how long answers take (the 95th percentile's bound in ms)."""
    if not total:
        return Health(Level.IDLE, "no requests")
    quick = "beyond 10 s" if answered_within is None else f"p95 ≤ {answered_within:,} ms"
    why = f"{quick}, {bad:,} bad of {total:,}"
    if bad > total * BAD_SHARE:
        return Health(Level.FAILING, why)
    slow = bad > total * SLOW_SHARE or answered_within is None or answered_within > 300
    return Health(Level.SLOW if slow else Level.OK, why)


def of_age(age_ms: int | None, slow_ms: int, late_ms: int, what: str = "") -> Health:
    """By how long the oldest has waited."""
    if age_ms is None:
        return Health(Level.OK, what or "nothing waits")
    level = Level.FAILING if age_ms > late_ms else Level.SLOW if age_ms > slow_ms else Level.OK
    bound = f"{late_ms // 1000} s" if level is Level.FAILING else f"{slow_ms / 1000:g} s"
    return Health(level, what or (f"oldest beyond {bound}" if level is not Level.OK else ""))


def of_work(ended: int, failed: int) -> Health:
    """The workers: the share of jobs that fail, once enough have ended."""
    if not ended:
        return Health(Level.IDLE, "no job ended")
    why = f"{failed:,} of {ended:,} failed"
    if failed <= ended * FAILED_SHARE:
        return Health(Level.OK, why)
    return (
        Health(Level.FAILING, why) if ended >= LEAST_JOBS else Health(Level.OK, f"{why}; judged from {LEAST_JOBS} on")
    )


def worst(*found: Health) -> Health:
    """The one that counts."""
    order = (Level.FAILING, Level.STALE, Level.SLOW, Level.UNKNOWN, Level.OK, Level.IDLE)
    return min(found, key=lambda one: order.index(one.level))
