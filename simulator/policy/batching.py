"""When a batch closes (C81): at a number of jobs, or at an age of the oldest."""

from __future__ import annotations


def batch_due(waiting: int, oldest_ms: int | None, now_ms: int, max_jobs: int, max_age_s: float) -> bool:
    """Whether the jobs that wait should be closed into a batch now."""
    if not waiting or oldest_ms is None:
        return False
    return waiting >= max_jobs or now_ms - oldest_ms >= max_age_s * 1000


def confirmations(head: int, block: int) -> int:
    """How many blocks stand on a block, itself included; 0 when it lies ahead."""
    return max(0, head - block + 1)
