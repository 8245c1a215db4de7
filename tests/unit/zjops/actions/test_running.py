"""A run: one after the other at a bounded rate, refusals by themselves, an end that says how far it got."""

from __future__ import annotations

import itertools
from contextlib import nullcontext

import pytest

from tests.unit.zjops.actions.doors import ToldDoor
from zjops.actions.acts import Act
from zjops.actions.running import BUSY_TRIES, Refusals, Run, progress, told
from zjops.domain.clock import ManualClock
from zjops.domain.errors import Problem, UnreachableError, UsageError

JOBS = tuple(f"job_{number}" for number in range(6))


class Waits:
    """Waits by moving the clock, and remembers for how long."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.seconds, self.ends = clock, list[float](), False

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        self.clock.advance(seconds)
        return self.ends


def made(door: ToldDoor, act: Act = Act.CANCEL, per_s: float = 10.0) -> tuple[Run, Waits]:
    clock = ManualClock()
    waits = Waits(clock)
    return Run(act, JOBS, "why", lambda: nullcontext(door), clock, per_s=per_s, wait=waits), waits


@pytest.mark.parametrize("act", Act)
def test_all_of_it_is_done_with_its_reason(act: Act) -> None:
    door = ToldDoor()
    report = made(door, act)[0].go()
    assert report.whole
    names = JOBS if act in (Act.CANCEL, Act.RETRY, Act.REDELIVER) else ("relayer",) * len(JOBS)
    assert door.done == [(act.value, name, "why") for name in names]


class TestRate:
    """Bounded, whatever the platform takes."""

    def test_it_waits_for_what_is_left_of_each_step(self) -> None:
        door = ToldDoor()
        run, waits = made(door)
        costs = itertools.cycle([0.03])
        door.before = lambda: waits.clock.advance(next(costs))
        run.go()
        assert waits.seconds == pytest.approx([0.07] * 5)

    def test_what_was_slow_is_not_made_up_for(self) -> None:
        door = ToldDoor()
        run, waits = made(door)
        costs = iter([5.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        door.before = lambda: waits.clock.advance(next(costs))
        run.go()
        assert waits.seconds == pytest.approx([0.1] * 4)

    def test_a_platform_that_asks_for_patience_gets_it(self) -> None:
        door = ToldDoor()
        run, waits = made(door)
        busy = iter([Problem("rate-limit-exceeded", "slower", headers={"retry-after": "7"})])

        def once() -> None:
            for problem in busy:
                raise problem

        door.before = once
        assert run.go().whole
        assert waits.seconds[0] == 7

    def test_and_not_for_ever(self) -> None:
        door = ToldDoor(faults={"job_2": Problem("rate-limit-exceeded", "slower")})
        run, waits = made(door)
        report = run.go()
        assert (report.done, report.not_reached) == (2, 4)
        assert waits.seconds.count(1.0) == BUSY_TRIES - 1


class TestFailures:
    """One job's never stops the others; the platform's does."""

    def test_refusals_are_grouped_by_their_code(self) -> None:
        door = ToldDoor(faults={
            "job_1": Problem("job-not-cancellable", "The job is already completed."),
            "job_3": Problem("not-found", "There is no such job."),
            "job_4": Problem("job-not-cancellable", "The job is already failed."),
            "job_5": Problem("internal-error", "broken"),
        })  # fmt: skip
        report = made(door)[0].go()
        assert (report.done, report.not_reached, report.why) == (2, 0, None)
        assert report.refused["job-not-cancellable"] == Refusals(2, "The job is already completed.")
        assert told(report) == [
            "cancel: done, 2 jobs of 6",
            "  refused: 2 job-not-cancellable (The job is already completed.)",
            "  refused: 1 not-found (There is no such job.)",
            "  refused: 1 internal-error (broken)",
        ]
        assert progress(report) == "cancel: 2 of 6 done, 4 refused"

    def test_a_tenant_without_room_is_refused_and_not_waited_for(self) -> None:
        door = ToldDoor(faults={"job_1": Problem("too-many-active-jobs", "full", headers={"retry-after": "60"})})
        run, waits = made(door, Act.RETRY)
        assert run.go().done == 5
        assert max(waits.seconds) < 1

    @pytest.mark.parametrize("code", ["unauthorized", "insufficient-scope", "unavailable"])
    def test_what_every_other_would_be_told_too_ends_it(self, code: str) -> None:
        report = made(ToldDoor(faults={"job_2": Problem(code, "no")}))[0].go()
        assert (report.done, report.not_reached, report.refused) == (2, 4, {})
        assert code in (report.why or "")

    def test_a_platform_that_is_gone_ends_it_and_one_is_not_known(self) -> None:
        report = made(ToldDoor(faults={"job_3": UnreachableError("http://x does not answer (refused)")}))[0].go()
        assert told(report) == [
            "cancel: done, 3 jobs of 6",
            "  not known: job_3 was sent and not answered",
            "  not reached: 2",
            "  ended early: http://x does not answer (refused)",
        ]

    def test_settings_that_are_missing_end_it(self) -> None:
        report = made(ToldDoor(faults={"job_0": UsageError("no credentials")}))[0].go()
        assert told(report) == ["cancel: nothing was done", "  not reached: 6", "  ended early: no credentials"]


class TestStop:
    """At any time."""

    def test_between_two_jobs(self) -> None:
        door = ToldDoor()
        run, _ = made(door)
        report = run.go(lambda report: run.stop() if report.done == 3 else None)
        assert (report.done, report.not_reached, report.why) == (3, 3, "stopped")
        assert len(door.done) == 3

    def test_before_it_begins(self) -> None:
        door = ToldDoor()
        run, _ = made(door)
        run.stop()
        run.stop()
        assert run.go().not_reached == len(JOBS)
        assert door.done == []

    def test_while_it_waits_for_its_turn_or_for_the_platform(self) -> None:
        run, waits = made(ToldDoor())
        waits.ends = True
        assert run.go().done == 1
        busy = ToldDoor(faults={"job_0": Problem("rate-limit-exceeded", "slower")})
        run, waits = made(busy)
        waits.ends = True
        assert (run.go().why, len(waits.seconds)) == ("stopped", 1)

    def test_without_a_wait_of_its_own_the_stop_wakes_it(self) -> None:
        """A thousandth of a request a second: only the stop ends it in time."""
        run = Run(Act.CANCEL, JOBS, "why", lambda: nullcontext(ToldDoor()), ManualClock(), per_s=0.001)
        assert run.go(lambda report: run.stop()).done == 1
