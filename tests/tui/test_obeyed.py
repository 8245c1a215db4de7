"""Nothing that came from elsewhere reaches the terminal as something to obey, wherever it is shown."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.conftest import settled
from tests.unit.zjops.actions.doors import ToldDoor
from tests.unit.zjops.client.test_standing import QUIET
from tests.unit.zjops.recording.told import START, job_id, life
from zjops.cli.times import moment_ms
from zjops.domain.clock import ManualClock, rfc3339
from zjops.domain.errors import UnreachableError
from zjops.domain.text import plain
from zjops.domain.wire import TenantView
from zjops.feed.readings import RELAYER, TENANTS
from zjops.recording.changes import Changes
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder
from zjops.recording.rows import Act, Outage
from zjops.tui.app import TopApp
from zjops.tui.station import Station

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eturned\u2066\u061c\x7f\n\t[/b][@click=app.quit]"
"""Sets the title, clears the screen, turns the text round, ends a line; and is markup that means nothing."""
TOLD: dict[str, Any] = {
    "job": {"error": {"message": EVIL}}, "proof": {"batch": {"root": EVIL}, "proof": []},
    "deliveries": [{
        "state": EVIL, "attempts": [{"status": None, "error": EVIL, "milliseconds": 1}], "nextAttemptAt": None,
        "type": EVIL, "url": EVIL,
    }],
}  # fmt: skip
VIEWS = "12345678"


@pytest.fixture
def evil(tmp_path: Path) -> TopApp:
    """The terminal over a platform all of whose texts are evil."""
    changes = Changes()
    for number, outcome in enumerate(("completed", "failed")):
        life(
            changes, number, accepted=START, started=START + 100, ended=START + 200, final=START + 300, outcome=outcome,
            tenant=EVIL, plan=EVIL, job_type=EVIL, error_code=EVIL,
        )  # fmt: skip
    changes.acts.append(Act(START, EVIL, EVIL, EVIL, EVIL, EVIL))
    changes.outages.append((Outage(EVIL, START, EVIL), None))
    changes.reading(RELAYER, START, msgspec.structs.replace(QUIET, owner=EVIL, state=EVIL, finality=EVIL))
    changes.reading(TENANTS, START, [TenantView(
        tenant_id=EVIL, name=EVIL, plan=EVIL, status=EVIL, overrides={}, client_id=EVIL, created_at=rfc3339(START),
        month="2026-11", compute_units_limit=1, compute_units_held=0, compute_units_charged=0, active_jobs=0,
    )])  # fmt: skip
    recorder = Recorder(tmp_path / "evil.zjrec", {"context": EVIL})
    recorder.write(changes, START + 1_000)
    recorder.close()

    def refused(job_id: str) -> Any:
        raise UnreachableError(EVIL)

    station = Station(
        Recording(tmp_path / "evil.zjrec"), EVIL, local=False, details=lambda job_id: TOLD, verify=refused,
        operator=lambda: nullcontext(ToldDoor()), allow_actions=True,
    )  # fmt: skip
    return TopApp(station, ManualClock(START + 1_000), moment_ms, now_ms=START + 1_000)


def lines(app: TopApp) -> list[str]:
    """The screen as it goes to the terminal."""
    return ["".join(part.text for part in strip) for strip in app.screen._compositor.render_strips()]


def obeyed(app: TopApp) -> list[str]:
    """The lines in which something is left to obey."""
    found = lines(app)
    assert any(line.strip() for line in found)
    return [line for line in found if plain(line) != line]


async def after(app: TopApp, pilot: Pilot[int], *keys: str) -> list[str]:
    await pilot.press(*keys)
    await settled(app, pilot)
    return obeyed(app)


@pytest.mark.parametrize("key", VIEWS)
async def test_in_a_view(evil: TopApp, key: str) -> None:
    async with evil.run_test(size=(160, 50)) as pilot:
        assert await after(evil, pilot, key) == []


@pytest.mark.parametrize("number", [0, 1])
async def test_of_a_job_with_its_json_and_verdict(evil: TopApp, number: int) -> None:
    async with evil.run_test(size=(160, 50)) as pilot:
        evil.open_view("job", job_id(number))
        assert await after(evil, pilot) == []
        assert await after(evil, pilot, "v") == []
        assert await after(evil, pilot, "y") == []


async def test_of_a_result(evil: TopApp) -> None:
    evil.station.details = lambda job_id: {"job": {"result": {"text": EVIL}}}
    async with evil.run_test(size=(160, 50)) as pilot:
        evil.open_view("job", job_id(0))
        assert await after(evil, pilot) == []


async def test_in_names_that_were_typed_filters_and_what_is_said(evil: TopApp) -> None:
    async with evil.run_test(size=(160, 50)) as pilot:
        evil.open_view("job", EVIL)
        assert await after(evil, pilot) == []
        assert await after(evil, pilot, "7", "o") == []
        assert await after(evil, pilot, "slash") == []
        evil.open_view("jobs", f'tenant:"{EVIL}')
        assert await after(evil, pilot) == [], "a filter that is wrong is left in the field"
        assert await after(evil, pilot, "escape", "colon") == []
        field = evil.focused
        assert isinstance(field, Input)
        field.insert_text_at_cursor(EVIL)
        assert await after(evil, pilot) == []
        assert await after(evil, pilot, "enter") == []


async def test_an_act_on_a_filter_with_markup_in_it_is_asked_about(evil: TopApp) -> None:
    async with evil.run_test(size=(160, 50)) as pilot:
        evil.open_view("jobs", "-tenant:[/b][@click=app.quit]")
        await settled(evil, pilot)
        evil.acting.ask("cancel", "filter")
        assert await after(evil, pilot) == []
        assert any("cancel: all jobs of -tenant:[/b][@click=app.quit]" in line for line in lines(evil))
