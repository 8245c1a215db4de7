"""How the chain and the relayer stand: pure arithmetic over what API and node say."""

from __future__ import annotations

from typing import NamedTuple

from zjops.domain.anchoring import REORGED
from zjops.domain.clock import parse_rfc3339
from zjops.domain.text import numbered
from zjops.domain.wire_chain import BatchView, RelayerView

DAY_S = 86_400.0
SKEW_FROM_S = 2.0
"""Blocks tell whole seconds, and clocks differ a little: a difference up to this is none."""
LEAST_S = 60.0
"""Spending is not extended from a shorter time than this."""


RUNWAY_MOST_DAYS = 3_650.0
"""Ten years: whatever lasts longer is not foreseen any better than this."""


def runway_days(balance_wei: int, spent_wei: int, spent_s: float) -> float | None:
    """How many days a balance lasts at the spending of late, ten years at most; None where nothing was spent."""
    if spent_wei <= 0:
        return None
    return min(RUNWAY_MOST_DAYS, balance_wei / (spent_wei / max(spent_s, LEAST_S) * DAY_S))


def runway_text(days: float | None) -> str:
    """A runway for people."""
    if days is None:
        return "nothing was spent of late"
    many = "> 10 years" if days >= RUNWAY_MOST_DAYS else f"{days:,.1f} days"
    return f"lasts {many} at the spending of late"


def lag(head_s: int, now_s: float, block_time_s: float) -> tuple[int, float]:
    """By how many blocks and seconds a head is older than it should be: one that is just being followed is not."""
    late_s = max(0.0, now_s - head_s - block_time_s)
    return int(late_s / block_time_s), round(late_s, 1)


class Evidence(NamedTuple):
    """A block of the chain between two moments of the platform, in seconds of either's own clock.

    The block took in what was sent before it was made, and was called final after: whatever does not fit is the clocks'
    difference.
    """

    made_s: int
    sent_s: float | None
    final_s: float | None


def evidence_of(batch: BatchView, made_s: int) -> Evidence:
    """What a batch tells of the clocks, with the time of its block."""
    sent_s, final_s = (None if at is None else parse_rfc3339(at) / 1000 for at in (batch.sent_at, batch.final_at))
    return Evidence(made_s, sent_s, final_s)


def clock_skew_s(head_s: int, now_s: float, evidence: Evidence | None) -> float:
    """By how many seconds the chain's clock is at least ahead of the platform's, negative for behind; 0 where it may
    be right.

    A block from the future, or one that is older than what it holds, proves it. That a head is old proves nothing: the
    node may be behind.
    """
    ahead_s = head_s - now_s
    if evidence is not None and evidence.final_s is not None:
        ahead_s = max(ahead_s, evidence.made_s - evidence.final_s)
    if ahead_s > SKEW_FROM_S:
        return round(ahead_s, 1)
    sent_s = None if evidence is None else evidence.sent_s
    behind_s = 0.0 if evidence is None or sent_s is None else sent_s - evidence.made_s
    return -round(behind_s, 1) if behind_s > SKEW_FROM_S else 0.0


def skew_text(skew_s: float) -> str:
    """A skew for people."""
    side = "ahead of" if skew_s > 0 else "behind"
    return f"note: the chain's clock is {abs(skew_s):,.0f} s {side} this platform's; lag is counted without that"


def depth_of(finality: str) -> int | None:
    """The N of `depth:N`; None where the chain itself says what is final."""
    kind, _, number = finality.partition(":")
    return int(number) if kind == "depth" and number.isdigit() else None


def progress(batch: BatchView, head: int | None, depth: int | None) -> str:
    """A batch's state as people read it: `mined 2/3` while it is on its way to finality (C81)."""
    return progress_of(batch.state, batch.block_number, head, None if depth is None else f"depth:{depth}")


def progress_of(state: str, block: int | None, head: int | None, finality: str | None) -> str:
    """The same from a state and a rule such as `depth:3`."""
    depth = None if finality is None else depth_of(finality)
    if state != "mined" or block is None or head is None or depth is None:
        return state
    return f"mined {min(depth, max(0, head - block + 1))}/{depth}"


def owner_state(view: RelayerView) -> str:
    """What the relayer does, in a word: a pause and a missing owner count before what it said last."""
    if view.paused:
        return "paused"
    if view.owner is None:
        return "absent"
    return "active" if view.state == "unknown" else view.state


def has_halted(view: RelayerView) -> bool:
    """Whether the relayer has stopped because what was final is gone."""
    return view.paused and (view.reason or "").startswith(REORGED)


def standstill(view: RelayerView) -> str | None:
    """Why nothing is confirmed at the moment; None while a relayer works."""
    if has_halted(view):
        return f"the relayer has stopped: {view.reason}"
    if view.paused:
        return "the relayer is paused by an operator"
    if view.owner is None:
        return "no relayer is active"
    return f"the relayer waits: {view.reason}" if view.state == "waiting" else None


def way_on(view: RelayerView) -> str:
    """The command that mends a standstill, or shows more of it."""
    if has_halted(view):
        return "zjops chain reanchor"
    return "zjops chain unpause relayer" if view.paused else "zjops chain status"


def held_back(view: RelayerView) -> str:
    """What waits for the relayer, on the chain's way and before it."""
    batches = numbered(view.open_batches, "batch", "batches")
    return f"{batches} of {numbered(view.open_jobs, 'job')}, and {numbered(view.waiting_jobs, 'job')} in none yet"


def seconds_to_final(batch: BatchView) -> float | None:
    """Seconds from closing a batch to its finality."""
    if batch.final_at is None:
        return None
    return (parse_rfc3339(batch.final_at) - parse_rfc3339(batch.closed_at)) / 1000
