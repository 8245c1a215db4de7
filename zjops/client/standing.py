"""How the chain and the relayer stand: pure arithmetic over what API and node say."""

from __future__ import annotations

from zjops.domain.clock import parse_rfc3339
from zjops.domain.wire_chain import BatchView, RelayerView

DAY_S = 86_400.0
LEAST_S = 60.0
"""Spending is not extended from a shorter time than this."""


def runway_days(balance_wei: int, spent_wei: int, spent_s: float) -> float | None:
    """How many days a balance lasts at the spending of late; None where nothing was spent."""
    if spent_wei <= 0:
        return None
    return balance_wei / (spent_wei / max(spent_s, LEAST_S) * DAY_S)


def lag(head_s: int, now_s: float, block_time_s: float) -> tuple[int, float]:
    """By how many blocks and seconds a head is older than it should be: one that is just being followed is not."""
    late_s = max(0.0, now_s - head_s - block_time_s)
    return int(late_s / block_time_s), round(late_s, 1)


def depth_of(finality: str) -> int | None:
    """The N of `depth:N`; None where the chain itself says what is final."""
    kind, _, number = finality.partition(":")
    return int(number) if kind == "depth" and number.isdigit() else None


def progress(batch: BatchView, head: int | None, depth: int | None) -> str:
    """A batch's state as people read it: `mined 2/3` while it is on its way to finality (C81)."""
    if batch.state != "mined" or batch.block_number is None or head is None or depth is None:
        return batch.state
    return f"mined {min(depth, max(0, head - batch.block_number + 1))}/{depth}"


def owner_state(view: RelayerView) -> str:
    """What the relayer does, in a word: a pause and a missing owner count before what it said last."""
    if view.paused:
        return "paused"
    if view.owner is None:
        return "absent"
    return "active" if view.state == "unknown" else view.state


def seconds_to_final(batch: BatchView) -> float | None:
    """Seconds from closing a batch to its finality."""
    if batch.final_at is None:
        return None
    return (parse_rfc3339(batch.final_at) - parse_rfc3339(batch.closed_at)) / 1000
