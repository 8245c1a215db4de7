import pytest

from simulator.policy.retry import Again, Ending, Stale, decide
from zjops.domain.jobs import MAX_ATTEMPTS, Charge, JobState, OutcomeKind


def _decide(kind: OutcomeKind, **values: object) -> object:
    known = {"state": JobState.PROCESSING, "current": 1, "base": 0, "attempt": 1, "cancelled": False}
    return decide(kind, **(known | values), first_s=0.5, most_s=30)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "state", "charge"),
    [
        (OutcomeKind.DONE, JobState.COMPLETED, Charge.CHARGED),
        (OutcomeKind.CLIENT_FAULT, JobState.FAILED, Charge.CHARGED),
        (OutcomeKind.FAILED, JobState.FAILED, Charge.RELEASED),
        (OutcomeKind.TIMEOUT, JobState.FAILED, Charge.RELEASED),
        (OutcomeKind.CANCELLED, JobState.CANCELLED, Charge.CHARGED),
        (OutcomeKind.EXHAUSTED, JobState.FAILED, Charge.RELEASED),
    ],
    ids=lambda v: v.value,
)
def test_every_outcome_has_one_ending_and_one_charge(kind: OutcomeKind, state: JobState, charge: Charge) -> None:
    ending = _decide(kind)
    assert isinstance(ending, Ending)
    assert (ending.state, ending.charge) == (state, charge)


def test_a_failed_attempt_comes_again_later_and_later_until_it_is_a_dead_letter() -> None:
    delays = [_decide(OutcomeKind.RETRY, attempt=n) for n in range(1, MAX_ATTEMPTS)]
    assert delays == [Again(0.5), Again(1.0), Again(2.0), Again(4.0)]
    last = _decide(OutcomeKind.RETRY, attempt=MAX_ATTEMPTS)
    assert isinstance(last, Ending)
    assert last.dead_letter


def test_a_failed_attempt_of_a_job_to_be_cancelled_ends_it() -> None:
    ending = _decide(OutcomeKind.RETRY, cancelled=True)
    assert isinstance(ending, Ending)
    assert ending.state is JobState.CANCELLED


@pytest.mark.parametrize(
    "values",
    [
        {"state": JobState.COMPLETED},
        {"state": JobState.CANCELLED},
        {"current": 2, "attempt": 1},
        {"base": 1, "attempt": 1},
    ],
    ids=["job has completed", "job was cancelled", "a later claim is known", "an earlier dispatch"],
)
def test_only_the_current_attempt_of_a_running_job_counts(values: dict[str, object]) -> None:
    assert isinstance(_decide(OutcomeKind.DONE, **values), Stale)
