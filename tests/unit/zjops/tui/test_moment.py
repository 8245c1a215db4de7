"""The time machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.tui.moment import WINDOWS_S, TimeMachine, window_text

NOW = 1_000_000_000


@given(st.lists(st.one_of(st.integers(-500, 500), st.sampled_from("pL{}+")), max_size=40))
def test_it_never_leaves_what_was_recorded(acts: list[int | str]) -> None:
    machine, first = TimeMachine(NOW), NOW - 3_600_000
    for act in acts:
        if isinstance(act, int):
            machine.step(act, first)
        elif act == "p":
            machine.freeze()
        elif act == "L":
            machine.live()
            assert machine.instant.at_ms == machine.now_ms
        elif act == "+":
            machine.moved(machine.now_ms + 250)
        else:
            machine.widen(1 if act == "}" else -1)
        assert first <= machine.instant.at_ms <= machine.now_ms
        assert machine.instant.window_s in WINDOWS_S


def test_a_moment_that_was_typed_is_one_of_the_calendar() -> None:
    machine = TimeMachine(NOW)
    for at_ms, stands in ((NOW + 1, NOW), (5, 5), (-(10**20), 0)):
        machine.go(at_ms)
        assert machine.instant.at_ms == stands


def test_frozen_it_stands_while_time_goes_on() -> None:
    machine = TimeMachine(NOW)
    machine.freeze()
    machine.moved(NOW + 5_000)
    assert machine.instant == (NOW, 300, False)
    machine.freeze()
    assert machine.instant == (NOW + 5_000, 300, True)


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    machine = TimeMachine(NOW)
    machine.moved(NOW - 60_000)
    assert machine.instant.at_ms == NOW


@pytest.mark.parametrize(("seconds", "wanted"), [(60, "1 m"), (300, "5 m"), (86_400, "24 h"), (90, "90 s")])
def test_windows_in_words(seconds: int, wanted: str) -> None:
    assert window_text(seconds) == wanted
