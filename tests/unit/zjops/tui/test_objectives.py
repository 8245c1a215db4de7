"""Budgets from the logs: read once a minute, more seldom where that takes long; the recording's without a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from tests.unit.zjops.slo.logs import START, answers, write_requests
from zjops.recording.reader import Recording
from zjops.tui.budgets import Budget
from zjops.tui.moment import Instant
from zjops.tui.objectives import LogBudgets

NOTHING = cast(Recording, None)


class Recorded:
    scope = "of the window alone"

    def at(self, recording: Recording, instant: Instant) -> Sequence[Budget]:
        return [Budget("availability", "all", 999_000, 10, 1, 60)]


def _instant(minute: int, ms: int = 0) -> Instant:
    return Instant((START + minute) * 60_000 + ms, 300, live=True)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write_requests(tmp_path, [answers(START + minute, 100, status=200 if minute % 2 else 503) for minute in range(60)])
    return tmp_path


def _bad(found: Sequence[Budget]) -> int:
    (one,) = [budget for budget in found if (budget.name, budget.plan) == ("availability", "all")]
    return one.bad


def test_a_minute_is_read_once_and_an_earlier_one_anew(log: Path) -> None:
    budgets = LogBudgets(log, lambda: 0.0)
    first = budgets.at(NOTHING, _instant(60))
    assert budgets.at(NOTHING, _instant(60, 59_999)) is first
    assert _bad(first) == 3_000
    assert _bad(budgets.at(NOTHING, _instant(20))) == 1_000, "who steps back sees what was known then"


def test_a_log_that_takes_long_is_read_more_seldom(log: Path) -> None:
    times = iter((0.0, 6.0, 100.0, 100.0))
    budgets = LogBudgets(log, lambda: next(times))
    first = budgets.at(NOTHING, _instant(20))
    assert budgets.at(NOTHING, _instant(23)) is first, "six seconds are a thirtieth of three minutes"
    assert budgets.at(NOTHING, _instant(24)) is not first


def test_without_a_log_the_recording_speaks_and_says_why(tmp_path: Path) -> None:
    budgets = LogBudgets(tmp_path / "nowhere", lambda: 0.0, Recorded())
    assert _bad(budgets.at(NOTHING, _instant(1))) == 1
    assert budgets.scope.startswith("of the window alone (there is no log in ")
    write_requests(tmp_path / "nowhere", [answers(START, 10)])
    assert _bad(budgets.at(NOTHING, _instant(2))) == 0, "and the log as soon as it is there"
    assert "over each objective's period" in budgets.scope
