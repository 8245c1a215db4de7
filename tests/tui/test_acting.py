"""Marks and acts, at the application as it runs, through a door that does what a test tells it."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.conftest import Make, settled
from tests.tui.picture import same_picture
from tests.tui.test_keys import Hands
from tests.tui.world import END
from tests.unit.zjops.actions.doors import ToldDoor, delivery
from tests.unit.zjops.client.test_standing import QUIET
from zjops.domain.errors import Problem, UnreachableError, UsageError
from zjops.recording.filters import parse
from zjops.tui.actscreen import ActScreen
from zjops.tui.app import TopApp
from zjops.tui.screens import Over
from zjops.tui.views.job import Job

SIZE = (120, 40)


def live(make: Make, door: ToldDoor, **more: Any) -> TopApp:
    """The terminal, live, with a door."""
    return make(at_ms=None, **({"operator": lambda: nullcontext(door)} | more))


async def hands_of(app: TopApp, pilot: Pilot[int], *keys: str) -> Hands:
    await settled(app, pilot)
    hands = Hands(app, pilot)
    await hands.press(*keys)
    return hands


async def done(hands: Hands) -> str:
    """Wait until an act has run, and read how it went."""
    app = hands.app
    await app.workers.wait_for_complete()
    await hands.pilot.pause()
    return hands.screen()


def by_state(app: TopApp, state: str) -> list[str]:
    rows = app.station.recording.page(END, where=parse(f"status:{state}"), limit=10_000)
    return [row.job_id for _, row in rows]


class TestMarks:
    """By job, and not by place."""

    async def test_space_marks_goes_on_and_takes_away(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2")
            first = hands.chosen()
            screen = await hands.press("space", "space")
            assert "2 marked," in screen
            assert screen.count("◆") == 2
            second = hands.jobs.marks.copy()
            second.pop(first)
            await hands.press("g")
            assert "1 marked," in await hands.press("space")
            assert hands.jobs.marks == second

    async def test_however_quickly_they_come(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2")
            for _ in range(3):
                app.simulate_key("space")
            await settled(app, pilot)
            rows = app.station.recording.page(END - 1_000, limit=3)
            assert list(hands.jobs.marks) == [row.job_id for _, row in rows]

    async def test_they_outlive_filters_sorting_and_time(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "slash", *"status:failed", "enter", "space")
            marked = dict(hands.jobs.marks)
            screen = await hands.press("slash", *["backspace"] * 20, "enter", "U", "left_square_bracket")
            assert "1 marked," in screen
            assert hands.jobs.marks == marked
            screen = await hands.press("u")
            assert "marked" not in screen
            assert "◆" not in screen

    async def test_all_of_a_filter(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "space")
            screen = await hands.press("asterisk")
            assert "ALL marked," in screen
            assert screen.count("◆") == screen.count(" job_") > 10
            assert "marked" not in await hands.press("asterisk")

    async def test_an_empty_list_has_nothing_to_mark(self, make: Make) -> None:
        app = make()
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "slash", *"tenant:nobody", "enter", "space")
            assert hands.jobs.marks == {}


class TestPreview:
    """What it would touch, before anything is asked."""

    async def test_of_all_that_a_filter_shows(self, make: Make) -> None:
        door = ToldDoor()
        app = live(make, door)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "asterisk")
            screen = await hands.press("ctrl+k")
            waiting, running = by_state(app, "pending"), by_state(app, "processing")
            total = app.station.recording.count(END)
            assert f"cancel {len(waiting) + len(running)} jobs of {total} chosen" in screen
            assert f"{len(waiting)} pending: released, {len(waiting) * 100:,} compute units = $" in screen
            assert f"skipped: already failed ({len(by_state(app, 'failed'))})" in screen
            await hands.press("escape")
            assert door.done == []

    async def test_without_anything_to_do_it_asks_nothing(self, make: Make) -> None:
        app = live(make, ToldDoor())
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "G")
            screen = await hands.press("ctrl+k")
            assert "cancel 0 jobs of 1 chosen" in screen
            assert "nothing to do" in screen
            await hands.press("y")
            assert isinstance(app.screen, ActScreen)
            assert "nothing was done" in await hands.press("escape")

    async def test_a_reason_that_nobody_asked_for_begins_no_other_act(self, make: Make) -> None:
        """Were n to close what asks nothing, h would hold the relayer, and the rest be the reason for that."""
        app = live(make, door := ToldDoor())
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "G")
            await hands.press("ctrl+k", *"nothing happened", "enter", "y")
            assert [type(screen) for screen in app.screen_stack[1:]] == [ActScreen]
            assert "cancel 0 jobs of 1 chosen" in hands.screen()
            await hands.press("escape")
            assert (app.stack[-1], len(app.screen_stack), door.done) == ("jobs", 1, [])

    async def test_a_platform_that_does_not_answer_is_told(self, make: Make) -> None:
        def gone() -> Any:
            raise UnreachableError("http://x does not answer (refused\x1b[2J)")

        app = live(make, ToldDoor(), operator=gone)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2")
            screen = await hands.press("a")
            assert "http://x does not answer (refused\\x1b[2J)" in screen
            assert app.screen.query_one(Input).display is False

    async def test_one_that_is_left_before_it_came_is_forgotten(self, make: Make) -> None:
        asked = threading.Event()
        door = ToldDoor()

        def slow() -> Any:
            asked.wait(10)
            return nullcontext(door)

        app = live(make, door, operator=slow)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2")
            await pilot.press("ctrl+k")
            await pilot.pause()
            assert "looking what it would touch" in hands.screen()
            await pilot.press("escape")
            asked.set()
            await settled(app, pilot)
            assert not isinstance(app.screen, ActScreen)
            assert door.done == []


class TestReason:
    """Required, and asked once more."""

    async def test_none_is_refused_and_yes_is_a_letter_of_it(self, make: Make) -> None:
        door = ToldDoor()
        app = live(make, door)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "ctrl+k")
            assert "say why" in await hands.press("space", "enter")
            assert "say why" not in await hands.press("y")
            screen = await hands.press(*"es", "enter")
            assert "why: yes" in screen
            assert "do it?" in screen
            await hands.press("n")
            assert "nothing was done" in hands.screen()
            assert door.done == []


class TestActs:
    """Each of them, from its key to its report."""

    async def test_cancel_the_marked_ones(self, make: Make) -> None:
        door = ToldDoor()
        app = live(make, door)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "space", "space")
            marked = list(hands.jobs.marks)
            await hands.press("ctrl+k", *"drill", "enter", "y")
            screen = await done(hands)
            assert "cancel: done, 2 jobs of 2" in screen
            assert door.done == [("cancel", job, "drill") for job in marked]
            await hands.press("escape")
            assert hands.jobs.marks == {}

    async def test_retry_dead_letters_of_a_filter_by_command(self, make: Make) -> None:
        app = live(make, door := ToldDoor())
        dead = by_state(app, "failed")[:3]
        door.dead = frozenset(dead)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "slash", *"status:failed", "enter")
            screen = await hands.press("colon", *"retry filter", "enter")
            assert "retry 3 dead letters of" in screen
            assert "skipped: failed, but no dead letter that waits" in screen
            await hands.press(*"back", "enter", "y")
            assert "retry: done, 3 dead letters of 3" in await done(hands)
            assert door.done == [("retry", job, "back") for job in dead]

    async def test_redeliver_from_the_view_of_one_job(self, make: Make) -> None:
        app = live(make, door := ToldDoor())
        job = by_state(app, "failed")[0]
        door.deliveries = [delivery("msg_1", job), delivery("msg_2", job, "delivered", "b.example")]
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "colon", *f"job {job}", "enter")
            assert isinstance(app.view, Job)
            screen = await hands.press("w")
            assert "redeliver 1 delivery of 1 of 1 jobs" in screen
            assert "1 to a.example" in screen
            assert "skipped: delivery arrived already (1)" in screen
            await hands.press("escape")
            screen = await hands.press("colon", *"redeliver delivered", "enter")
            assert "1 to a.example, 1 to b.example" in screen
            await hands.press(*"up", "enter", "y")
            await done(hands)
            assert door.done == [("redeliver", "msg_1", "up"), ("redeliver", "msg_2", "up")]

    async def test_hold_the_relayer_and_let_it_go_on(self, make: Make) -> None:
        """The recording's relayer is paused, so that the one key lets it go on."""
        door = ToldDoor(view=msgspec.structs.replace(QUIET, paused=True, waiting_jobs=7))
        app = live(make, door)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot)
            screen = await hands.press("h")
            assert "resume the relayer" in screen
            assert "7 jobs in none yet" in screen
            await hands.press(*"over", "enter", "y")
            await done(hands)
            await hands.press("escape")
            assert "skipped: paused already" in await hands.press("colon", *"pause", "enter")
            await hands.press("escape")
            door.view = QUIET
            await hands.press("colon", *"pause", "enter", *"drill", "enter", "y")
            await done(hands)
            assert door.done == [("resume", "relayer", "over"), ("pause", "relayer", "drill")]

    async def test_jobs_that_are_named(self, make: Make) -> None:
        app = live(make, door := ToldDoor())
        job = by_state(app, "pending")[0]
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "colon", *f"cancel {job} job_none", "enter")
            screen = hands.screen()
            assert "cancel 1 job of 2 chosen" in screen
            assert "skipped: not in the recording (1)" in screen
            assert "CUT" not in screen
            await hands.press("escape")
            assert "after pause there may be nothing" in await hands.press("colon", *"pause now", "enter")
            assert "there is no command canc" in await hands.press("colon", *"canc", "enter")
            assert door.done == []

    async def test_refusals_are_told_by_their_reason(self, make: Make) -> None:
        app = live(make, door := ToldDoor())
        jobs = [*by_state(app, "pending"), *by_state(app, "processing")]
        door.faults = {job: Problem("job-not-cancellable", "The job is already completed.") for job in jobs[1:]}
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "asterisk", "ctrl+k", *"x", "enter", "y")
            screen = await done(hands)
            assert f"refused: {len(jobs) - 1} job-not-cancellable (The job is already completed.)" in screen
            same_picture(app, "act-report-120x40-dark")
            assert isinstance(app.screen, Over)


class Gate:
    """Lets one through at a time."""

    def __init__(self) -> None:
        self.come, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self) -> None:
        self.come.release()
        assert self.go.acquire(timeout=20)


class TestRun:
    """While an act runs, the terminal is free."""

    async def test_progress_another_view_a_stop_and_how_far_it_got(self, make: Make) -> None:
        gate = Gate()
        door = ToldDoor(before=gate)
        app = live(make, door)
        jobs = [*by_state(app, "pending"), *by_state(app, "processing")]
        assert len(jobs) > 2
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "asterisk", "ctrl+k", *"drill", "enter")
            await pilot.press("y")
            gate.go.release()
            while not (gate.come.acquire(blocking=False) and gate.come.acquire(timeout=20)):
                await pilot.pause()
            await pilot.press("6")
            app._draw_edges()
            await pilot.pause()
            assert app.stack[-1] == "chain"
            assert f"cancel: 1 of {len(jobs)} done; Esc stops" in hands.screen()
            await pilot.press("a")
            assert "cancel still runs; Esc stops it" in hands.screen()
            await pilot.press("q")
            assert app.is_running
            assert app.stack[-1] == "chain"
            await pilot.press("escape")
            assert "stops after the one that is on its way" in hands.screen()
            assert app.stack[-1] == "chain"
            gate.go.release()
            screen = await done(hands)
            assert f"cancel: done, 2 jobs of {len(jobs)}" in screen
            assert f"not reached: {len(jobs) - 2}" in screen
            assert len(door.done) == 2

    async def test_how_it_went_waits_for_whoever_types(self, make: Make) -> None:
        gate = Gate()
        app = live(make, ToldDoor(before=gate))
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "ctrl+k", *"drill", "enter")
            await pilot.press("y", "slash", *"tenant")
            gate.go.release()
            await done(hands)
            assert isinstance(app.focused, Input)
            assert app.focused.value == "tenant"
            await pilot.press("escape")
            app.acting.tick()
            await pilot.pause()
            assert "cancel: done, 1 job of 1" in hands.screen()

    async def test_a_platform_that_goes_away_ends_it(self, make: Make) -> None:
        app = live(make, door := ToldDoor())
        job = by_state(app, "pending")[0]
        door.faults = {job: UnreachableError("http://x does not answer (refused)")}
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "colon", *f"cancel {job}", "enter", *"x", "enter", "y")
            screen = await done(hands)
            assert "cancel: nothing was done" in screen
            assert f"not known: {job} was sent and not answered" in screen
            assert "ended early: http://x does not answer (refused)" in screen


class TestRefused:
    """Where nothing may be done, in one line."""

    @pytest.mark.parametrize(
        ("more", "at_ms", "said"),
        [
            ({"local": False}, None, "LOCAL is not this machine's own"),
            ({"replayed": 1.0}, None, "nothing can be done to a recording"),
            ({"operator": None}, None, "context local has no operator credentials"),
            ({"read_only": "a browser only reads"}, None, "a browser only reads"),
            ({}, END - 60_000, "frozen: acts are for now and not for the past; L goes live"),
        ],
        ids=["another machine", "a recording", "no credentials", "read only", "the past"],
    )
    async def test_in_one_line(self, make: Make, more: dict[str, Any], at_ms: int | None, said: str) -> None:
        door = ToldDoor()
        app = make(at_ms=at_ms, **({"operator": lambda: nullcontext(door)} | more))
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2")
            for keys in (["ctrl+k"], ["a"], ["w"], ["h"], ["colon", *"pause", "enter"]):
                screen = await hands.press(*keys)
                assert said.lower() in screen.lower()
                assert not isinstance(app.screen, ActScreen)
                await hands.press("r")
            assert door.done == []

    async def test_elsewhere_they_are_allowed_by_an_option(self, make: Make) -> None:
        app = live(make, ToldDoor(), local=False, allow_actions=True)
        async with app.run_test(size=SIZE) as pilot:
            await hands_of(app, pilot, "2", "ctrl+k")
            assert isinstance(app.screen, ActScreen)

    async def test_without_a_job_there_is_nothing_to_act_on(self, make: Make) -> None:
        app = live(make, ToldDoor())
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot)
            assert "no job is chosen" in await hands.press("ctrl+k")

    async def test_frozen_between_the_preview_and_the_yes(self, make: Make) -> None:
        door = ToldDoor()
        app = live(make, door)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2", "ctrl+k", *"x", "enter")
            app.machine.freeze()
            assert "frozen: acts are for now" in await hands.press("y")
            assert door.done == []

    async def test_credentials_that_are_gone_are_told(self, make: Make) -> None:
        def none() -> Any:
            raise UsageError("context local has no operator credentials")

        app = live(make, ToldDoor(), operator=none)
        async with app.run_test(size=SIZE) as pilot:
            hands = await hands_of(app, pilot, "2")
            assert "has no operator credentials" in await hands.press("ctrl+k")


async def test_help_and_palette_list_every_act(make: Make) -> None:
    app = live(make, ToldDoor())
    async with app.run_test(size=(100, 60)) as pilot:
        hands = await hands_of(app, pilot, "2")
        screen = await hands.press("question_mark")
        for words in ("cancel", "retry dead letters", "send webhooks again", "hold the relayer", "mark all that pass"):
            assert words in screen
        await hands.press("escape")
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert [title for title in titles if title.startswith("Act: ")] == [
            "Act: cancel", "Act: retry dead letters", "Act: send failed webhooks again", "Act: pause the relayer",
            "Act: resume the relayer",
        ]  # fmt: skip
