"""A recording whose damage turns out only while it is looked at: it is told, and the terminal stays."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.tui.conftest import settled
from tests.tui.test_keys import Hands
from tests.unit.zjops.recording.told import START, job_id, life, recorded
from zjops.cli.times import moment_ms
from zjops.domain.clock import ManualClock
from zjops.recording.changes import Changes
from zjops.recording.reader import Recording
from zjops.tui.app import TopApp
from zjops.tui.station import Station

NOW = START + 60_000


def over(folder: Path, damage: str) -> TopApp:
    """The terminal over a recording to which something was done."""
    changes = Changes()
    for number in range(200):
        life(changes, number, accepted=START + number, started=START + number, ended=START + number)
    made = recorded(folder, [changes], NOW)
    made.close()
    db = sqlite3.connect(made.path)
    db.executescript(damage)
    db.close()
    return TopApp(Station(Recording(made.path), "local"), ManualClock(NOW), moment_ms, at_ms=NOW, now_ms=NOW)


@pytest.mark.parametrize("key", ["G", "pagedown"])
async def test_on_the_way_through_the_list(tmp_path: Path, key: str) -> None:
    app = over(tmp_path, "UPDATE jobs SET tenant = CAST(x'ff' AS TEXT) WHERE n < 170")
    async with app.run_test(size=(120, 24)) as pilot:
        await settled(app, pilot)
        hands = Hands(app, pilot)
        assert job_id(199) in await hands.press("2")
        for _ in range(2):
            screen = await hands.press(key)
        assert "is damaged" in screen
        assert "damaged" not in await hands.press("g")


@pytest.mark.parametrize("moment", [2**63 - 1, -(2**63)])
async def test_in_moments_that_no_calendar_has(tmp_path: Path, moment: int) -> None:
    app = over(tmp_path, f"UPDATE jobs SET accepted_at = {moment}, started_at = {moment} WHERE n = 5")
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_view("job", job_id(4))
        await settled(app, pilot)
        assert "no time" in Hands(app, pilot).screen()


async def test_in_what_waits(tmp_path: Path) -> None:
    app = over(tmp_path, "DELETE FROM depths WHERE stage <> 'pending'")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert "queue" in Hands(app, pilot).screen()
