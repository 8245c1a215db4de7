"""What follows from an attempt's outcome: a pure table of ruling C70 and the attempt limit of C84."""

from __future__ import annotations

from typing import NamedTuple

from zjops.domain.jobs import MAX_ATTEMPTS, Charge, JobState, OutcomeKind


class Ending(NamedTuple):
    """A job ends: its state, what becomes of its reservation, and whether operators find it among dead letters."""

    state: JobState
    charge: Charge
    error_code: str | None = None
    dead_letter: bool = False


class Again(NamedTuple):
    """A job is dispatched again after a delay."""

    delay_s: float


class Stale(NamedTuple):
    """The outcome belongs to an attempt that is no longer the current one, or to a job that has ended."""

    why: str


Decision = Ending | Again | Stale

_ENDINGS: dict[OutcomeKind, Ending] = {
    OutcomeKind.DONE: Ending(JobState.COMPLETED, Charge.CHARGED),
    OutcomeKind.CLIENT_FAULT: Ending(JobState.FAILED, Charge.CHARGED),
    OutcomeKind.FAILED: Ending(JobState.FAILED, Charge.RELEASED),
    OutcomeKind.TIMEOUT: Ending(JobState.FAILED, Charge.RELEASED, "timeout"),
    OutcomeKind.CANCELLED: Ending(JobState.CANCELLED, Charge.CHARGED),
    OutcomeKind.EXHAUSTED: Ending(JobState.FAILED, Charge.RELEASED, "dead_letter", True),
}


def is_current(state: JobState, current: int, base: int, attempt: int) -> bool:
    """Whether an attempt may still speak for the job: it runs, and no later claim is known."""
    return state in (JobState.PENDING, JobState.PROCESSING) and attempt > base and attempt >= current


def decide(
    kind: OutcomeKind,
    state: JobState,
    *,
    current: int,
    base: int,
    attempt: int,
    cancelled: bool,
    first_s: float,
    most_s: float,
) -> Decision:
    """What an outcome of `attempt` means for a job whose newest known claim is `current` of a dispatch from `base`."""
    if not is_current(state, current, base, attempt):
        return Stale(f"attempt {attempt} of a {state.value} job at {current}")
    if kind is not OutcomeKind.RETRY:
        return _ENDINGS[kind]
    if cancelled:
        return _ENDINGS[OutcomeKind.CANCELLED]
    if attempt >= MAX_ATTEMPTS:
        return _ENDINGS[OutcomeKind.EXHAUSTED]
    return Again(min(first_s * 2 ** (attempt - 1), most_s))
