"""Budgets from the logs: read once a minute, more seldom where that takes long, and kept in the recording."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import msgspec
import pytest

from tests.unit.zjops.slo.logs import START, answers, write_requests
from zjops.domain.clock import ManualClock
from zjops.domain.requests import LATENCY_BOUNDS_MS, rollup_of
from zjops.feed.budgets import BUDGETS, Budget, BudgetsSeen, LogBudgets, read_budgets, stride
from zjops.feed.feed import Intake
from zjops.recording.changes import Changes
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder
from zjops.tui.budgets import PERIODS, WINDOW, YOUNG, budgets_at
from zjops.tui.moment import Instant


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write_requests(tmp_path, [answers(START + minute, 100, status=200 if minute % 2 else 503) for minute in range(60)])
    return tmp_path


def _bad(found: Sequence[Budget]) -> int:
    (one,) = [budget for budget in found if (budget.name, budget.plan) == ("availability", "all")]
    return one.bad


def test_the_log_says_what_was_known_at_a_minute(log: Path) -> None:
    assert _bad(read_budgets(log, START + 60).budgets) == 3_000
    earlier = read_budgets(log, START + 20)
    assert _bad(earlier.budgets) == 1_000
    (alert,) = [one.alert for one in earlier.budgets if (one.name, one.plan) == ("availability", "all")]
    assert alert == "PAGE 14.4x 1h, 6x 6h, 3x 1d, 1x 3d"


def test_without_a_log_it_says_why(tmp_path: Path) -> None:
    seen = read_budgets(tmp_path / "nowhere", START)
    assert seen.budgets == ()
    assert (seen.why or "").startswith("there is no log in ")


@pytest.mark.parametrize(("took_s", "minutes"), [(0.0, 1), (1.9, 1), (2.0, 2), (6.0, 4)])
def test_a_log_that_takes_long_is_read_more_seldom(took_s: float, minutes: int) -> None:
    """Six seconds are a thirtieth of three minutes."""
    assert stride(took_s) == minutes


class _Due(ManualClock):
    """Goes on to whatever is waited for, and ends after so many waits."""

    def __init__(self, now_ms: int, waits: int) -> None:
        super().__init__(now_ms)
        self._waits = waits

    async def sleep(self, seconds: float) -> None:
        if not self._waits:
            raise asyncio.CancelledError
        self._waits -= 1
        self.advance(seconds)


def test_every_minute_is_read_into_the_recording_once_and_shown_from_there(log: Path, tmp_path: Path) -> None:
    clock = _Due((START + 20) * 60_000 + 12_000, waits=2)
    intake = Intake(clock)

    async def listen() -> None:
        with pytest.raises(asyncio.CancelledError):
            await LogBudgets(log, clock).run(intake)

    asyncio.run(listen())
    told = [(kind, at_ms // 1000) for kind, at_ms, _ in intake.changes.readings]
    assert told == [(BUDGETS, (START + 20) * 60 + 12), (BUDGETS, (START + 21) * 60), (BUDGETS, (START + 22) * 60)]
    path = tmp_path / "budgets.zjrec"
    recorder = Recorder(path, {})
    recorder.write(intake.changes, clock.now_ms())
    recorder.close()
    recording = Recording(path)
    assert budgets_at(recording, Instant((START + 20) * 60_000, 300, True)).scope == WINDOW, "nothing was read yet"
    shown = budgets_at(recording, Instant((START + 22) * 60_000 - 1, 300, True))
    assert shown.scope == PERIODS
    assert list(shown.budgets) == list(read_budgets(log, START + 21).budgets)
    recording.close()


def test_a_log_that_was_away_leaves_the_window_and_the_reason(tmp_path: Path) -> None:
    changes, path = Changes(), tmp_path / "away.zjrec"
    changes.readings.append((BUDGETS, 5_000, msgspec.json.encode(BudgetsSeen(0, why="there is no log")).decode()))
    recorder = Recorder(path, {})
    recorder.write(changes, 5_000)
    recorder.close()
    recording = Recording(path)
    shown = budgets_at(recording, Instant(6_000, 300, True))
    assert shown.scope == f"{WINDOW} (there is no log)"
    assert [one.name for one in shown.budgets] == ["job success"]
    recording.close()


@pytest.mark.parametrize(
    ("covers_s", "total", "window"),
    [pytest.param(0, 0, True, id="no whole minute"), pytest.param(60, 0, True, id="a minute of nothing"),
     pytest.param(60, 5, False, id="a minute of requests")],
)  # fmt: skip
def test_until_the_logs_have_a_minute_the_window_counts(
    tmp_path: Path, covers_s: int, total: int, window: bool
) -> None:  # fmt: skip
    log = Budget("availability", "all", 999_000, total, 0, covers_s, period="30 d")
    changes = Changes()
    changes.rollup(rollup_of(
        [7, *[0] * len(LATENCY_BOUNDS_MS)], second=5, process="api", route="/v1/jobs", method="POST", status=200,
        plan="pro",
    ))  # fmt: skip
    changes.readings.append((BUDGETS, 6_000, msgspec.json.encode(BudgetsSeen(0, [log])).decode()))
    path = tmp_path / "young.zjrec"
    recorder = Recorder(path, {})
    recorder.write(changes, 6_000)
    recorder.close()
    recording = Recording(path)
    shown = budgets_at(recording, Instant(8_000, 300, True))
    recording.close()
    assert shown.scope == (f"{WINDOW} ({YOUNG})" if window else PERIODS)
    assert [(one.plan, one.total, one.period) for one in shown.budgets if one.total] == (
        [("pro", 7, None)] * 3 if window else [("all", 5, "30 d")]
    )


def test_whoever_leaves_does_not_wait_for_a_large_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The end of the loop waits for its threads: the reading ends because what it asks of DuckDB is given up."""
    begun, given_up = threading.Event(), list[str]()

    def endless(log_dir: Path, minute: int, opened: Callable[[Any], None]) -> BudgetsSeen:
        with duckdb.connect() as db:
            opened(SimpleNamespace(db=db))
            begun.set()
            try:
                db.execute("SELECT count(*) FROM range(100_000_000_000) a, range(1_000) b").fetchall()
            except duckdb.InterruptException as exc:
                given_up.append(str(exc))
        return BudgetsSeen(minute)

    monkeypatch.setattr("zjops.feed.budgets.read_budgets", endless)

    async def leave() -> None:
        clock = ManualClock(0)
        reading = asyncio.create_task(LogBudgets(tmp_path, clock).run(Intake(clock)))
        await asyncio.to_thread(begun.wait, 10)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(leave())
    assert len(given_up) == 1
