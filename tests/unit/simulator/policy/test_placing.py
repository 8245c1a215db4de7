"""When the others stay off the API's processor."""

from __future__ import annotations

import pytest

from simulator.policy.placing import BUSY, CAUGHT_UP_S, EASY, FULL, IDLE, LATE_S, SHORT, Load, apart

BETWEEN_API, BETWEEN_OTHERS = (IDLE + BUSY) / 2, (SHORT + EASY) / 2


@pytest.mark.parametrize(
    ("api", "others", "stay"),
    [
        (0.0, 0.1, True),  # nobody has anything to do
        (0.9, 1.0, True),  # everybody has
        (0.0, 1.0, False),  # only the others, and it is too much for what they have
        (BETWEEN_API, 1.0, True),
        (0.0, BETWEEN_OTHERS, True),
    ],
)
def test_those_who_stay_off_use_all_when_only_they_have_something_to_do(api: float, others: float, stay: bool) -> None:
    assert apart(Load(api, others), 1, was=True) is stay


@pytest.mark.parametrize(
    ("api", "others", "stay"),
    [
        (0.0, 1.0, False),
        (BETWEEN_API, 1.9, False),
        (BUSY, 1.0, True),  # the API wants its own again
        (0.0, 0.4, True),  # and nobody misses it
        (0.0, BETWEEN_OTHERS, False),
    ],
)
def test_those_who_use_all_go_when_the_api_is_busy_or_they_need_it_no_more(
    api: float, others: float, stay: bool
) -> None:
    assert apart(Load(api, others), 1, was=False) is stay


def test_what_the_others_have_is_what_their_need_is_measured_by() -> None:
    assert apart(Load(0.0, 1.0), 3, was=True)
    assert not apart(Load(0.0, 2.9), 3, was=True)


@pytest.mark.parametrize(
    ("load", "was", "stay"),
    [
        (Load(0.7, 0.7, LATE_S - 0.1), True, True),
        (Load(0.7, 0.7, LATE_S), True, False),  # somebody waits for what was accepted
        (Load(FULL, 0.7, 10 * LATE_S), True, True),  # a crowd of submissions passes
        (Load(FULL, 0.7, CAUGHT_UP_S), False, False),  # once they have begun, they catch up
        (Load(0.0, 0.1, CAUGHT_UP_S), False, False),
        (Load(BUSY, 0.7, CAUGHT_UP_S - 0.1), False, True),
    ],
)
def test_those_for_whom_accepted_jobs_wait_too_long_use_all_until_they_have_caught_up(
    load: Load, was: bool, stay: bool
) -> None:
    assert apart(load, 1, was) is stay
