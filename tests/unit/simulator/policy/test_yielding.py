"""When the relay gives way, by a clock that is set."""

from itertools import pairwise

import pytest

from simulator.policy.yielding import FULL, LEAST_S, LOOK_S, MOST_S, NEARLY, SAVED, Yielding


class _Process:
    """Looks at a process once a step, which uses a share of a processor during it."""

    def __init__(self) -> None:
        self.now_s = self.used_s = 100.0
        self.yielding = Yielding()
        self.yielding.look(self.used_s, self.now_s, crowded=False)

    def step(self, share: float, *, crowded: bool = False, seconds: float = 2 * LOOK_S) -> bool:
        self.now_s += seconds
        self.used_s += share * seconds
        return self.yielding.look(self.used_s, self.now_s, crowded=crowded)


def test_a_process_with_time_for_both_gives_no_way_even_in_a_crowd() -> None:
    process = _Process()
    assert not any(process.step(FULL - 0.01, crowded=True) for _ in range(100))


def test_a_full_one_does_at_once_and_until_it_is_clearly_not_full() -> None:
    process = _Process()
    assert process.step(FULL)
    assert process.step(NEARLY)
    assert not process.step(NEARLY - 0.01)
    assert not process.step(NEARLY), "to begin anew it has to be full"


def test_one_that_waits_for_the_disk_goes_on_giving_way_while_much_waits() -> None:
    process = _Process()
    process.step(1.0)
    assert process.step(0.1, crowded=True)
    assert not process.step(0.1)


def test_it_is_looked_at_over_steps_that_are_long_enough() -> None:
    process = _Process()
    assert process.step(1.0)
    assert process.step(0.0, seconds=LOOK_S / 2), "nothing is known yet of so short a time"
    assert not process.step(0.0, seconds=LOOK_S)


def test_a_crowd_that_stays_is_passed_on_all_the_same() -> None:
    process = _Process()
    seconds = 0.0
    while process.step(1.0):
        seconds += 2 * LOOK_S
    assert seconds == pytest.approx(MOST_S, abs=4 * LOOK_S)
    later = [process.step(1.0) for _ in range(round(110 / (2 * LOOK_S)))]
    assert sum(later) / len(later) == pytest.approx(SAVED / (1 + SAVED), abs=0.03), "then as much as is saved up"
    changes = sum(one != other for one, other in pairwise(later))
    assert changes <= 2 * 11, "and not in bits"


def test_what_was_spent_is_saved_up_again() -> None:
    process = _Process()
    while process.step(1.0):
        pass
    for _ in range(round(MOST_S / SAVED / (2 * LOOK_S)) + 1):
        process.step(0.1)
    given = 0
    while process.step(1.0):
        given += 1
    assert given * 2 * LOOK_S == pytest.approx(MOST_S, abs=4 * LOOK_S)


def test_a_long_time_in_which_nobody_looked_costs_no_more_than_there_was() -> None:
    process = _Process()
    process.step(1.0)
    assert not process.step(1.0, seconds=3_600.0)
    for _ in range(round(LEAST_S / SAVED / (2 * LOOK_S)) + 1):
        process.step(0.1)
    assert process.step(1.0)
