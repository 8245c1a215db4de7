"""When a batch closes (C81): at a number of jobs, at an age of the oldest, or at either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

By = Literal["count", "age", "both"]


@dataclass(frozen=True)
class Batching:
    """`both` closes at whichever comes first; with `age` the number only splits what closes at once."""

    max_jobs: int
    max_age_s: float
    by: By = "both"


def batch_due(rule: Batching, waiting: int, waited_s: float) -> bool:
    """Whether jobs, the oldest of which has waited that long, should be closed into a batch now."""
    by_count = rule.by != "age" and waiting >= rule.max_jobs
    by_age = rule.by != "count" and waited_s >= rule.max_age_s
    return waiting > 0 and (by_count or by_age)


def waited_s(oldest_ms: int | None, now_ms: int, watched_s: float) -> float:
    """How long the oldest has waited: by its own stamp or by the relayer's watch, whichever is longer.

    The stamp is another process's clock; one that is ahead would hold a batch back for as long as it is ahead.
    """
    return watched_s if oldest_ms is None else max(watched_s, (now_ms - oldest_ms) / 1000)
