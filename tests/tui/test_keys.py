"""Every key, at the application as it runs."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.conftest import Make, settled
from tests.tui.picture import normalised, text_of
from tests.tui.world import END
from tests.unit.zjops.recording.told import START, TRACE, job_id
from zjops.domain.clock import rfc3339
from zjops.domain.errors import UnreachableError
from zjops.feed.messages import Pulse, Stale, Verdict
from zjops.recording.reader import Recording, Sort
from zjops.tui.app import TopApp
from zjops.tui.commandline import CommandLine
from zjops.tui.commands import VIEWS
from zjops.tui.moment import Instant
from zjops.tui.pipeline import facts_of, stages_of
from zjops.tui.screens import Over
from zjops.tui.themes import OURS
from zjops.tui.views.job import AGAIN_MS, Job
from zjops.tui.views.jobs import Jobs
from zjops.tui.widgets import Sheet, Table

AT = END - 1_000
STEP = 300_000 // 12


class Hands:
    """Presses keys and reads the screen."""

    def __init__(self, app: TopApp, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    async def press(self, *keys: str) -> str:
        """Press, wait for what comes of it, and read the whole screen."""
        await self.pilot.press(*keys)
        await settled(self.app, self.pilot)
        return self.screen()

    def screen(self) -> str:
        """Everything that is shown."""
        return "\n".join(text_of(normalised(self.app.export_screenshot())))

    @property
    def jobs(self) -> Jobs:
        view = self.app.view
        assert isinstance(view, Jobs)
        return view

    def chosen(self) -> str:
        """The key of the chosen row."""
        row = self.app.view.query_one(Table).chosen
        assert row is not None
        return row.key


async def _hands(app: TopApp, pilot: Pilot[int]) -> Hands:
    await settled(app, pilot)
    return Hands(app, pilot)


@pytest.mark.parametrize(("key", "name"), list(zip("12345678", VIEWS, strict=True)))
async def test_a_number_opens_its_view(make: Make, key: str, name: str) -> None:
    app = make()
    async with app.run_test(size=(100, 30)) as pilot:
        hands = await _hands(app, pilot)
        await hands.press("2", key)
        assert app.stack[-1] == name
        assert app.view.display


async def test_escape_goes_back_and_minus_to_the_last_view(make: Make) -> None:
    app = make()
    async with app.run_test() as pilot:
        hands = await _hands(app, pilot)
        await hands.press("2", "6", "7")
        await hands.press("escape")
        assert app.stack == ["overview", "jobs", "chain"]
        await hands.press("minus")
        assert app.stack[-1] == "errors"
        await hands.press("minus")
        assert app.stack[-1] == "chain"
        await hands.press(*["escape"] * 9)
        assert app.stack == ["overview"]


class TestTime:
    """The time machine."""

    async def test_freeze_step_window_and_live(self, make: Make) -> None:
        app = make(at_ms=None)
        async with app.run_test() as pilot:
            hands = await _hands(app, pilot)
            assert "FROZEN" not in hands.screen()
            assert "FROZEN" in await hands.press("p")
            app.heard(_pulse(END + 60_000))
            assert app.machine.instant.at_ms == END
            await hands.press("left_square_bracket", "left_square_bracket")
            assert app.machine.instant == (END - 2 * STEP, 300, False)
            await hands.press("right_square_bracket")
            assert app.machine.instant.at_ms == END - STEP
            assert "window 15 m" in await hands.press("right_curly_bracket")
            assert "window 1 m" in await hands.press("left_curly_bracket", "left_curly_bracket", "left_curly_bracket")
            await hands.press("L")
            assert app.machine.instant == (END + 60_000, 60, True)

    async def test_every_panel_shows_the_instant(self, make: Make) -> None:
        """Before the relayer paused there was nothing about a pause; the state of a job is that of then."""
        app = make()
        async with app.run_test(size=(120, 40)) as pilot:
            hands = await _hands(app, pilot)
            assert "the relayer is paused" in hands.screen()
            shown = await hands.press("colon", *"at 08:05", "enter")
            assert app.machine.instant.at_ms == START + 300_000
            assert "the relayer is paused" not in shown
            assert "nobody did anything" in shown
            screen = await hands.press("2")
            ids = [line.split()[2] for line in screen.splitlines() if " job_" in line]
            assert ids
            assert all(job_id(598) != found for found in ids)
            app.open_view("job", job_id(598))
            await settled(app, pilot)
            assert "is not in this recording at 08:05:00Z" in hands.screen()

    async def test_the_first_breach_then_the_next_and_after_the_last_none(self, make: Make) -> None:
        app = make(at_ms=None)
        app.machine.window_s = 3_600
        async with app.run_test(size=(120, 40)) as pilot:
            hands = await _hands(app, pilot)
            screen = await hands.press("b")
            assert "first breach of " in screen
            assert "gateway failing: " in screen
            assert "FROZEN" in screen
            seen = [app.machine.instant.at_ms]
            while "no later breach" not in (screen := await hands.press("b")):
                assert f"breach {len(seen) + 1} of " in screen
                seen.append(app.machine.instant.at_ms)
            assert seen == sorted(set(seen))
            assert seen[-1] == app.machine.instant.at_ms == START + 480_000
            assert "the relayer is paused" in screen
            assert "first breach of " in await hands.press("L", "b")
            assert app.machine.instant.at_ms == seen[0]

    async def test_the_first_breach_of_the_window_by_command(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 40)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("colon", *"at 08:05:10", "enter", "left_curly_bracket")
            screen = await hands.press("colon", *"breach", "enter")
            assert "API away: Connection refused" in screen
            assert app.machine.instant == (START + 300_000, 60, False)

    async def test_a_recording_that_is_played_is_known_to_its_end(self, make: Make) -> None:
        """What has not been played yet can be gone to, and stepped about in."""
        app = make(at_ms=None, replayed=1.0)
        app.machine.now_ms = START + 30_000
        async with app.run_test(size=(120, 40)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("colon", *"at 08:07", "enter", "right_square_bracket")
            assert app.machine.instant.at_ms == START + 420_000 + STEP
            await hands.press("L")
            assert app.machine.instant == (START + 30_000, 300, True)
            for _ in range(3):
                await hands.press("b")
            assert app.machine.instant.at_ms == START + 300_000

    async def test_stepping_ends_at_the_beginning_of_the_recording(self, make: Make) -> None:
        app = make()
        async with app.run_test() as pilot:
            hands = await _hands(app, pilot)
            await hands.press(*["left_square_bracket"] * 60)
            assert app.machine.instant.at_ms == START


class TestJobs:
    """The list over the whole recording."""

    async def test_moving_through_all_of_it(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(80, 24)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2")
            newest = hands.chosen()
            await hands.press("j", "j")
            third = hands.chosen()
            assert third != newest
            await hands.press("G")
            assert hands.chosen() == job_id(1)
            await hands.press("k")
            assert hands.chosen() == job_id(2)
            await hands.press("g", "down", "down", "up")
            await hands.press("down")
            assert hands.chosen() == third
            seen = []
            await hands.press("g")
            while hands.chosen() not in seen:
                seen.append(hands.chosen())
                await hands.press("pagedown")
            assert seen[-1] == job_id(1)
            await hands.press("pageup", "home")
            assert hands.chosen() == newest

    @pytest.mark.parametrize(("down", "up"), [("ctrl+f", "ctrl+b"), ("ctrl+d", "ctrl+u"), ("pagedown", "pageup")])
    async def test_pages_as_in_other_programs(self, make: Make, down: str, up: str) -> None:
        app = make()
        async with app.run_test(size=(80, 24)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "j")
            second = hands.chosen()
            await hands.press(down)
            assert hands.chosen() != second
            await hands.press(up)
            assert hands.chosen() == second
            await hands.press("end")
            assert hands.chosen() == job_id(1)

    async def test_a_sheet_scrolls_by_the_same_keys(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(80, 15)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "G", "enter")
            sheet = app.view.query_one(Sheet)
            for down, up in (("ctrl+f", "ctrl+b"), ("ctrl+d", "ctrl+u"), ("pagedown", "pageup"), ("j", "k")):
                await hands.press(down)
                assert sheet.top > 0, down
                await hands.press(up)
                assert sheet.top == 0, up
            await hands.press("end")
            assert sheet.top == len(sheet.lines) - sheet.size.height
            await hands.press("home")
            assert sheet.top == 0

    async def test_a_filter_its_completion_and_its_errors(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            whole = await hands.press("2")
            assert "✖ failed" in whole
            await hands.press("slash", *"status:fai", "tab", "enter")
            assert hands.jobs.where.text == "status:failed"
            assert all("✖ failed" in line for line in hands.screen().splitlines() if " job_" in line)
            screen = await hands.press("slash", *" colour:red")
            assert "there is no field colour" in screen
            await hands.press("enter")
            assert hands.jobs.where.text == "status:failed"
            await hands.press("escape")
            assert "no field colour" not in hands.screen()
            assert isinstance(app.focused, Table)

    async def test_what_is_typed_at_once_goes_into_the_field(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2")
            for key in ("slash", *"id:a/b:c", "enter"):
                app.simulate_key(key)
            await settled(app, pilot)
            assert hands.jobs.where.text == "id:a/b:c"

    async def test_a_command_that_is_typed_while_a_view_changes_keeps_its_line(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2")
            for key in ("minus", "colon", *"slos"):
                app.simulate_key(key)
            await settled(app, pilot)
            await hands.press("enter")
            assert app.stack[-1] == "slos"
            assert not app.query_one(CommandLine).display

    async def test_a_very_long_paste_is_a_message(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(80, 24)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "slash")
            field = app.focused
            assert isinstance(field, Input)
            field.insert_text_at_cursor("tenant:" + "x" * 200 + "\x1b[31m" + '" age>')
            await settled(app, pilot)
            assert 'a " has no end' in hands.screen()
            field.insert_text_at_cursor("y" * 3_000)
            await settled(app, pilot)
            assert "at most 2,000 characters" in hands.screen()
            await hands.press("enter", "escape", "j")
            assert hands.jobs.where.all

    @pytest.mark.parametrize(("key", "by"), [("A", "age"), ("T", "took"), ("U", "units")])
    async def test_sorting(self, make: Make, key: str, by: str) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "T" if key != "T" else "U")
            assert f"{by}▾" in await hands.press(key)
            assert hands.jobs.sort == Sort(by, False)
            first = hands.chosen()
            await hands.press(key)
            assert hands.jobs.sort == Sort(by, True)
            if by != "units":
                assert hands.chosen() != first

    async def test_faults_only(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2")
            screen = await hands.press("ctrl+z")
            assert "faults only" in screen
            assert all("✖ failed" in line for line in screen.splitlines() if " job_" in line)
            await hands.press("ctrl+z")
            assert not hands.jobs.faults_only

    async def test_from_a_job_to_its_logs_and_back(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "G")
            screen = await hands.press("enter")
            assert app.stack[-1] == "job"
            assert job_id(1) in screen
            screen = await hands.press("o")
            assert app.stack[-1] == "logs"
            assert TRACE.split("-")[1] in screen
            assert "the node answers slowly" in screen
            await hands.press("escape", "escape")
            assert app.stack[-1] == "jobs"

    async def test_why_a_job_is_not_confirmed_in_four_keys(self, make: Make) -> None:
        """On a narrow terminal too the whole sentence stands there, with what to do about it."""
        app = make()
        async with app.run_test(size=(80, 24)) as pilot:
            hands = await _hands(app, pilot)
            screen = " ".join((await hands.press("2", "pagedown", "pagedown", "enter")).split())
            assert "stuck for" in screen
            assert "because the relayer is paused by an operator; see zjops chain unpause relayer" in screen


class TestJob:
    """One job: what the platform tells of it, and its proof."""

    async def test_verifying_says_in_words_what_was_found(self, make: Make) -> None:
        answers = iter((Verdict(True, "verified: leaf 0 of batch 1"), Verdict(False, "REFUSED: root: another")))
        asked: list[str] = []

        def verify(name: str) -> Verdict:
            asked.append(name)
            return next(answers)

        app = make(verify=verify)
        async with app.run_test(size=(80, 24)) as pilot:
            hands = await _hands(app, pilot)
            assert "not checked here yet: v" in await hands.press("2", "G", "enter")
            assert "● verified: leaf 0 of batch 1" in await hands.press("v")
            assert "✖ REFUSED: root: another" in await hands.press("v")
            assert asked == [job_id(1), job_id(1)]
            assert "not checked here yet" in await hands.press("escape", "k", "enter")

    async def test_a_platform_that_is_gone_is_said_and_one_that_is_not_there(self, make: Make) -> None:
        def verify(name: str) -> Verdict:
            raise UnreachableError("http://127.0.0.1:9: Connection refused\x1b[2J")

        app = make(verify=verify)
        async with app.run_test(size=(120, 40)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "G", "enter")
            assert "▲ not checked: http://127.0.0.1:9: Connection refused\\x1b[2J" in await hands.press("v")
            app.station.verify = None
            assert "▲ there is no platform to ask for the proof" in await hands.press("v")

    async def test_deliveries_and_result_are_asked_of_the_platform_while_it_is_live(self, make: Make) -> None:
        attempt = {"attempt": 1, "at": "2026-11-26T08:00:01Z", "status": 503, "error": None, "milliseconds": 12}
        delivery = {
            "deliveryId": "msg_1", "endpointId": "ep", "url": "https://a.example/in", "jobId": job_id(1),
            "type": "job.completed", "state": "pending", "createdAt": "2026-11-26T08:00:01Z",
            "nextAttemptAt": rfc3339(END + 29_000), "attempts": [attempt],
        }  # fmt: skip
        failed = delivery | {
            "url": "https://b.example/\x1b[2J", "type": "job.confirmed", "state": "failed", "nextAttemptAt": None,
            "attempts": [attempt | {"status": None, "error": "timed out"}],
        }  # fmt: skip
        told = {"job": {"result": {"label": "cat"}}, "proof": None, "deliveries": [delivery, failed]}
        app = make(at_ms=None, details=lambda name: told)
        async with app.run_test(size=(120, 50)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "G", "enter")
            screen = await hands.press("r")
            assert '"label": "cat"' in screen
            assert "◐ pending   completed 1 attempt, 503 in 12 ms, next in 29 s  https://a.example/in" in screen
            assert "✖ failed    confirmed 1 attempt, timed out in 12 ms  https://b.example/\\x1b[2J" in screen
            assert "asked of the platform only while it is live" in await hands.press("p")

    async def test_every_attempt_is_told_with_its_times_and_why(self, make: Make) -> None:
        boom = {"code": "boom", "message": "It broke.\x1b[2J"}
        tried = [
            {"attempt": 1, "outcome": "lost", "startedAt": rfc3339(START + 100)},
            {"attempt": 2, "outcome": "retried", "startedAt": rfc3339(START + 2_000),
             "endedAt": rfc3339(START + 2_900), "nextAt": rfc3339(START + 4_000), "error": boom},
            {"attempt": 3, "outcome": "completed", "startedAt": rfc3339(END - 1_500),
             "endedAt": rfc3339(END - 1_000)},
        ]  # fmt: skip
        told = {"job": {"result": 1, "attempts": tried}, "proof": None, "deliveries": []}
        app = make(at_ms=None, details=lambda name: told)
        async with app.run_test(size=(120, 50)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("2", "G", "enter")
            screen = await hands.press("r")
            assert "✖ attempt 1   from 08:00:00Z  no word of its end came: its worker was gone" in screen
            assert "✖ attempt 2   from 08:00:02Z to 08:00:02Z  ran 900 ms  tried again from 08:00:04Z" in screen
            assert "boom: It broke.\\x1b[2J" in screen
            assert re.search(r"● attempt 3   from .* ran 500 ms  completed", screen)
            await hands.press("p")
            screen = await hands.press("left_square_bracket")
            assert "✖ attempt 2   from 08:00:02Z" in screen, "what was tried before that moment"
            assert "attempt 3" not in screen, "and nothing that came after it"

    async def test_a_platform_that_answers_late_is_not_asked_again_meanwhile(self, make: Make) -> None:
        answers, asked = threading.Event(), list[str]()

        def details(name: str) -> dict[str, Any]:
            asked.append(name)
            answers.wait()
            return {"job": {"result": "late"}, "proof": None, "deliveries": []}

        app = make(at_ms=None, details=details)
        async with app.run_test(size=(120, 50)) as pilot:
            hands = await _hands(app, pilot)
            await pilot.press("2")
            await settled(app, pilot)
            await pilot.press("G", "enter")
            try:
                view = app.query_one(Job)
                for later in range(1, 4):
                    view._ask_once("processing", END + later * 2 * AGAIN_MS)
                    await pilot.pause()
                assert len(asked) <= 2, "once as it came, and once for its state"
            finally:
                answers.set()
            assert '"late"' in await hands.press("r")

    async def test_attempts_and_what_a_recording_does_not_know(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 50)) as pilot:
            hands = await _hands(app, pilot)
            screen = await hands.press("2", "G", "enter")
            assert re.search(r"● attempt 1 +from 08:00:0\dZ to 08:00:0\dZ  ran \d+ ms  completed", screen)
            assert re.search(r"leaf \d+ of batch 1, number \d+ +block 1,009", screen)
            assert screen.count("asked of the platform only while it is live") == 3


async def test_a_tenant_an_error_and_a_batch_lead_to_their_jobs(make: Make) -> None:
    app = make()
    async with app.run_test(size=(120, 30)) as pilot:
        hands = await _hands(app, pilot)
        await hands.press("5", "enter")
        assert (app.stack[-1], hands.jobs.where.text) == ("jobs", "tenant:acme")
        await hands.press("6", "enter")
        assert hands.jobs.where.text == "batch:48"
        assert any(" job_" in line for line in hands.screen().splitlines())
        await hands.press("7", "o")
        assert hands.jobs.where.text == 'error:"gpu_lost" type:ml_inference'
        assert any(" job_" in line for line in hands.screen().splitlines())
        await hands.press("7", "enter")
        assert app.stack[-1] == "job"


async def test_faults_only_of_tenants_batches_and_logs(make: Make) -> None:
    app = make()
    async with app.run_test(size=(120, 30)) as pilot:
        hands = await _hands(app, pilot)
        await hands.press("5")
        assert "initech" not in await hands.press("ctrl+z")
        assert "globex" in hands.screen()
        await hands.press("6")
        assert "every batch is final" in await hands.press("ctrl+z")
        await hands.press("8")
        screen = await hands.press("ctrl+z")
        assert "the node answers slowly" in screen
        assert "ready" not in screen


async def test_words_filter_the_logs(make: Make) -> None:
    app = make()
    async with app.run_test(size=(120, 30)) as pilot:
        hands = await _hands(app, pilot)
        screen = await hands.press("8", "slash", *"level:err", "tab", "enter")
        assert "no relay\\x1b[2Jcleared" in screen
        assert "slowly" not in screen
        assert '"attempt": 2' in await hands.press("enter")


async def test_copy_and_json(make: Make) -> None:
    app = make()
    async with app.run_test(size=(120, 40)) as pilot:
        hands = await _hands(app, pilot)
        await hands.press("2", "G")
        assert f"copied {job_id(1)}" in await hands.press("c")
        assert app.clipboard == job_id(1)
        await hands.press("y")
        over = app.screen
        assert isinstance(over, Over)
        text = "\n".join("".join(part for part, _ in line) for line in over._lines)
        assert json.loads(text)["job_id"] == job_id(1)
        await hands.press("escape")
        assert not isinstance(app.screen, Over)


async def test_an_incident_folder_opens_at_that_moment(make: Make, tmp_path: Path) -> None:
    app = make(incidents=tmp_path / "incidents")
    async with app.run_test(size=(120, 40)) as pilot:
        hands = await _hands(app, pilot)
        await hands.press("colon", *"at 08:05", "enter")
        at = START + 300_000
        shown = hands.screen()
        for _ in range(2):
            await hands.press("I")
            await app.workers.wait_for_complete()
        folders = sorted((tmp_path / "incidents").iterdir())
    assert [folder.name for folder in folders] == ["20261126T080500", "20261126T080500-2"]
    made = folders[0]
    assert (made / "screen.txt").read_text() == shown + "\n"
    assert "http" not in (made / "picture.svg").read_text().replace("http://www.w3.org/", "")
    command = (made / "open.txt").read_text().split()
    assert command == ["zjops", "top", "--replay", str(made / "recording.zjrec"), "--at", "2026-11-26T08:05:00.000Z"]
    whole, part = app.station.recording, Recording(made / "recording.zjrec")
    part.check()
    instant = Instant(at, 300, False)
    assert stages_of(facts_of(part, instant)) == stages_of(facts_of(whole, instant))
    assert part.page(at) == whole.page(at)
    assert part.count(END) < whole.count(END)


async def test_without_a_folder_for_incidents_it_is_said(make: Make) -> None:
    app = make()
    async with app.run_test(size=(120, 40)) as pilot:
        hands = await _hands(app, pilot)
        assert "there is no folder for incidents here" in await hands.press("I")


async def test_help_is_for_the_view_that_is_shown(make: Make) -> None:
    app = make()
    async with app.run_test(size=(100, 50)) as pilot:
        hands = await _hands(app, pilot)
        assert "Keys of overview" in await hands.press("question_mark")
        await hands.press("escape", "2")
        screen = await hands.press("question_mark")
        assert "Keys of jobs" in screen
        assert "status:failed" in screen
        assert "Keys of jobs" not in await hands.press("q")


@pytest.mark.parametrize("view", range(1, 9))
async def test_no_line_of_help_is_cut_in_the_smallest_terminal(make: Make, view: int) -> None:
    app = make()
    async with app.run_test(size=(80, 24)) as pilot:
        hands = await _hands(app, pilot)
        await hands.press(str(view), "question_mark")
        lines = app.screen.query_one(Sheet)
        for _ in range(4):
            inside = [row for row in (await hands.press("pagedown")).splitlines() if " │" in row or "│ " in row]
            assert not [row for row in inside if "…│" in row.replace(" ", "")]
        assert lines.top > 0


async def test_in_the_smallest_terminal_an_error_is_told_whole(make: Make) -> None:
    app = make()
    async with app.run_test(size=(80, 24)) as pilot:
        hands = await _hands(app, pilot)
        assert "invalid_parameters" in await hands.press("7")


class TestCommands:
    """What is typed after the colon."""

    async def test_views_windows_themes_and_times(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            await hands.press("colon", *"jobs tenant:acme", "enter")
            assert hands.jobs.where.text == "tenant:acme"
            await hands.press("colon", *"window 1h", "enter", "colon", *"theme light", "enter")
            assert (app.machine.window_s, app.theme) == (3_600, "light")
            await hands.press("colon", *"at -2m", "enter")
            assert app.machine.instant.at_ms == END - 120_000
            await hands.press("colon", *"live", "enter")
            assert app.machine.instant.live

    async def test_what_means_nothing_is_said(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            assert "there is no command fly" in await hands.press("colon", *"fly", "enter")
            assert "at is a moment" in await hands.press("colon", *"at noon", "enter")
            assert "there is no command" not in await hands.press("j")
            await hands.press("colon", *"jobs", "escape")
            assert app.stack == ["overview"]

    async def test_a_filter_that_means_nothing_is_said_at_the_field(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            assert "there is no field colour" in await hands.press("colon", *"jobs colour:red", "enter")
            assert hands.jobs.where.all

    async def test_a_state_that_there_is_not_is_said_with_all_that_there_are(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(80, 24)) as pilot:
            hands = await _hands(app, pilot)
            screen = await hands.press("colon", *"jobs status:foo", "enter")
            assert "there is no status foo; there are pending, " in screen
            assert "confirmed" in screen.split("there is no status foo")[1].split("status ")[0]
            assert hands.jobs.where.all
            assert "there is no status" not in await hands.press("escape")


async def test_themes_go_round_and_the_header_can_be_hidden(make: Make) -> None:
    app = make()
    async with app.run_test() as pilot:
        hands = await _hands(app, pilot)
        seen = [app.theme]
        for _ in range(4):
            await hands.press("t")
            seen.append(app.theme)
        assert seen == ["dark", "light", "16", "16-light", "dark"]
        assert "window 5 m" not in (await hands.press("e")).splitlines()[0]
        assert "window 5 m" in (await hands.press("e")).splitlines()[0]


@pytest.mark.parametrize("theme", list(OURS))
async def test_no_color_leaves_something_to_read(make: Make, monkeypatch: pytest.MonkeyPatch, theme: str) -> None:
    """Also under a terminal's own colours, of which a grey would be black on black; begun with or come to by `t`."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = make(theme=theme)
    async with app.run_test(size=(120, 40)) as pilot:
        hands = await _hands(app, pilot)
        for _ in OURS:
            for panel in (app.query_one("#header"), app.query_one("#footer"), app.view.query_one(Sheet)):
                styles = [part.style for strip in panel.render_lines(panel.size.region) for part in strip]
                pairs = {(style.color, style.bgcolor) for style in styles if style is not None}
                assert pairs
                for colour, ground in pairs:
                    own = colour is not None and colour == ground and colour.is_default
                    assert own or (colour != ground and not app.native_ansi_color), (app.theme, panel)
            await hands.press("t")


async def test_q_quits(make: Make) -> None:
    app = make()
    async with app.run_test() as pilot:
        await pilot.press("2", "q")
        await pilot.pause()
        assert not app.is_running


class TestSize:
    """Terminals of any size."""

    @pytest.mark.parametrize("size", [(40, 10), (59, 24), (80, 14)])
    async def test_a_small_one_gets_a_plain_message(self, make: Make, size: tuple[int, int]) -> None:
        app = make()
        async with app.run_test(size=size) as pilot:
            hands = await _hands(app, pilot)
            screen = hands.screen()
            assert f"needs 60x15, this is {size[0]}x{size[1]}" in screen
            assert "Pipeline" not in screen
            await pilot.resize_terminal(80, 24)
            await settled(app, pilot)
            assert "Pipeline" in hands.screen()

    async def test_a_list_fills_a_terminal_that_grows(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=(80, 24)) as pilot:
            hands = await _hands(app, pilot)
            few = (await hands.press("2")).count(" job_")
            await pilot.resize_terminal(160, 50)
            await settled(app, pilot)
            assert hands.screen().count(" job_") == few + 26


class TestHeader:
    """Where this is, and what does not answer."""

    async def test_a_context_elsewhere_is_loud(self, make: Make) -> None:
        app = make(local=False)
        async with app.run_test(size=(100, 30)) as pilot:
            hands = await _hands(app, pilot)
            assert "CONTEXT LOCAL" in hands.screen()

    async def test_what_is_away_is_told_with_its_reason_and_goes_again(self, make: Make) -> None:
        app = make(at_ms=None)
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            app.heard(_pulse(END, Stale("chain", "Connection refused\x1b[2J", END - 12_000)))
            screen = await hands.press("r")
            assert "chain stale for 12 s: Connection refused\\x1b[2J" in screen
            assert "1 stale" in screen
            app.heard(_pulse(END))
            assert "stale for" not in await hands.press("r")

    async def test_clocks_that_differ_are_told(self, make: Make) -> None:
        app = make(at_ms=None)
        async with app.run_test(size=(120, 30)) as pilot:
            hands = await _hands(app, pilot)
            app.heard(_pulse(END, late_ms=-60_000))
            assert "its clock is 60 s ahead" in await hands.press("r")
            app.heard(_pulse(END, late_ms=9_000))
            assert "events 9.0 s late" in await hands.press("r")
            app.heard(msgspec.structs.replace(_pulse(END - 600_000), ahead_ms=-600_000))
            assert "this machine's clock is 10 m ahead" in await hands.press("r")
            assert app.machine.instant.at_ms == END - 600_000


def _pulse(at_ms: int, *stale: Stale, late_ms: int | None = None) -> Pulse:
    return Pulse(at_ms=at_ms, events={}, requests=0, bad=0, late_ms=late_ms, stale=stale)


async def test_no_colour_is_heeded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make()
    async with app.run_test() as pilot:
        await _hands(app, pilot)
        assert app.no_color
        svg = app.export_screenshot()
        assert "#7fb4ff" not in svg.lower()
