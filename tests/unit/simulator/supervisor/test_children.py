"""Children of a supervisor, with programs small enough to see through."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from simulator.supervisor import children, faultkeepers
from simulator.supervisor.children import Child
from simulator.supervisor.faultkeepers import ProcessKeeper
from simulator.supervisor.faults import FaultRequest, Faults
from simulator.supervisor.spec import ChildSpec, Notice
from tests.support.nats import eventually
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError
from zjops.domain.ids import SystemIds

LIVE = "import os, pathlib, signal, sys; {} pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); signal.pause()"
Make = Callable[..., Child]


class World:
    """A folder, what was told, and the children that were made."""

    def __init__(self, home: Path) -> None:
        self.home, self.told = home, list[Notice]()
        self.children: dict[str, Child] = {}

    def child(self, program: str = LIVE.format(""), name: str = "role", stop_within_s: float = 5.0) -> Child:
        """A child whose readiness is a file that it writes itself."""
        mark = self.home / f"{name}.pid"

        async def ready() -> bool:
            return mark.exists() and mark.read_text() == str(child.pid)

        argv = (sys.executable, "-c", program, str(mark))
        spec = ChildSpec(name, ("role",), argv, ready, stop_within_s=stop_within_s)
        child = self.children[name] = Child(spec, self.home, SystemClock(), self.told.append, lambda: None)
        return child

    def faults(self) -> Faults:
        """Faults on these children."""
        clock = SystemClock()
        return Faults({"process": ProcessKeeper(self.children, clock)}, clock, SystemIds(clock), self.told.append)

    def events(self) -> list[str]:
        """What was told, by kind."""
        return [notice.event for notice in self.told]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(children, "FIRST_DELAY_S", 0.01)
    made = World(tmp_path)
    yield made
    for child in made.children.values():
        child.release()
        await child.stop()


async def test_a_child_is_ready_when_it_says_so_and_ends_when_asked(world: World) -> None:
    child = world.child()
    await child.start()
    assert child.ready
    pid = child.pid
    assert pid is not None
    await child.stop()
    assert not psutil.pid_exists(pid)
    assert world.events() == ["starting", "ready", "stopped"]


async def test_a_child_that_lives_and_answers_no_more_is_not_ready_until_it_does(world: World) -> None:
    child, answers = world.child(), [True]

    async def ready() -> bool:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    child.spec = dataclasses.replace(child.spec, ready=ready)
    await child.start()
    seen = []
    for answers[:] in ([False, True], [False], [True]):
        await child.look()
        seen.append((child.ready, child.state))
    assert seen == [(True, "running"), (False, "unready"), (True, "running")]
    await child.stop()
    await child.look()
    assert (child.ready, child.state) == (False, "stopped")


async def test_a_killed_child_lives_again_and_it_is_said(world: World) -> None:
    child = world.child()
    await child.start()
    first = child.pid
    child.signal(signal.SIGKILL)
    await eventually(lambda: child.ready and child.pid not in (None, first))
    assert child.restarts == 1
    assert [(n.restarts, n.exit) for n in world.told if n.event == "restarted"] == [(1, "SIGKILL")]


async def test_a_child_that_says_why_it_cannot_start_is_believed(world: World) -> None:
    child = world.child("import sys; print('error: the store is damaged', file=sys.stderr); sys.exit(3)")
    with pytest.raises(UnreachableError, match="role did not start: the store is damaged"):
        await child.start()
    assert child.restarts == 0


async def test_a_child_that_only_crashes_is_given_up_after_a_few_tries(world: World) -> None:
    child = world.child("raise SystemExit(1)")
    with pytest.raises(UnreachableError, match=r"process-logs/role\.log"):
        await child.start()
    assert child.restarts == children.FIRST_TRIES


async def test_a_child_that_does_not_listen_is_killed(world: World) -> None:
    child = world.child(LIVE.format("signal.signal(signal.SIGTERM, signal.SIG_IGN);"), stop_within_s=0.1)
    await child.start()
    pid = child.pid
    assert pid is not None
    await child.stop()
    assert not psutil.pid_exists(pid)


async def test_logs_are_for_the_owner_alone(world: World) -> None:
    await world.child().start()
    for path in (world.home / "process-logs/role.log", world.home / "log/app/role.jsonl"):
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_stopped_child_continues_when_the_lease_ends(world: World) -> None:
    child, faults = world.child(), world.faults()
    await child.start()
    await faults.inject(FaultRequest("role", "stop", lease_s=0.3))
    process = psutil.Process(child.pid)
    await eventually(lambda: process.status() == psutil.STATUS_STOPPED)
    await eventually(lambda: not faults.active() and process.status() != psutil.STATUS_STOPPED)
    assert child.restarts == 0


async def test_a_stopped_child_continues_on_request(world: World) -> None:
    child, faults = world.child(), world.faults()
    await child.start()
    await faults.inject(FaultRequest("role", "stop", lease_s=60))
    process = psutil.Process(child.pid)
    await eventually(lambda: process.status() == psutil.STATUS_STOPPED)
    await faults.inject(FaultRequest("role", "continue"))
    assert not faults.active()
    await eventually(lambda: process.status() != psutil.STATUS_STOPPED)


async def test_a_leased_kill_stays_dead_until_it_is_healed(world: World) -> None:
    child, faults = world.child(), world.faults()
    await child.start()
    fault = await faults.inject(FaultRequest("role", "kill", lease_s=60))
    await eventually(lambda: child.state == "restarting")
    assert child.pid is None
    assert await faults.heal(fault)
    assert not await faults.heal(fault)
    await eventually(lambda: child.ready and child.restarts == 1)


async def test_a_kill_without_a_lease_heals_by_itself(world: World) -> None:
    child, faults = world.child(), world.faults()
    await child.start()
    await faults.inject(FaultRequest("role", "kill"))
    await eventually(lambda: child.ready and child.restarts == 1)
    assert not faults.active()


async def _between_two_starts(child: Child) -> None:
    """Killed and not started again before `release`."""
    await child.start()
    child.hold()
    child.signal(signal.SIGKILL)
    await eventually(lambda: child.state == "restarting" and child.pid is None)


async def test_a_kill_that_is_repeated_and_begins_between_two_starts_strikes_the_next_one(world: World) -> None:
    child, faults = world.child(), world.faults()
    await _between_two_starts(child)
    await faults.inject(FaultRequest("role", "kill", {"every_s": 3600}, lease_s=60))
    assert [fault.struck for fault in faults.active()] == [0]
    child.release()
    await eventually(lambda: child.restarts == 2 and child.ready)
    assert [fault.struck for fault in faults.active()] == [1]
    assert await faults.heal_all() == 1
    assert world.told[-1].message == "healed: kill, which struck 1 time"


async def test_a_kill_that_is_repeated_waits_each_time_for_the_next_start(world: World) -> None:
    child, faults = world.child(), world.faults()
    await child.start()
    await faults.inject(FaultRequest("role", "kill", {"every_s": 0.001}, lease_s=60))
    (fault,) = faults.active()
    await eventually(lambda: (fault.struck or 0) >= 3)
    await faults.heal_all()
    struck = fault.struck
    await eventually(lambda: child.ready and child.restarts == struck)


async def test_a_kill_without_a_lease_waits_for_the_next_start(world: World) -> None:
    child, faults = world.child(), world.faults()
    await _between_two_starts(child)
    kill = asyncio.create_task(faults.inject(FaultRequest("role", "kill")))
    await eventually(lambda: bool(faults.active()))
    child.release()
    await kill
    await eventually(lambda: child.restarts == 2 and child.ready)
    assert not faults.active()


async def test_a_kill_that_found_nothing_to_kill_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faultkeepers, "THERE_WITHIN_S", 0.05)
    child, faults = world.child(), world.faults()
    await _between_two_starts(child)
    with pytest.raises(Problem, match="nothing to kill"):
        await faults.inject(FaultRequest("role", "kill"))
    assert not faults.active()
    child.release()
    await eventually(lambda: child.ready and child.restarts == 1)


async def _being_started(child: Child, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Kill a child that runs, and come back while it is being started again, which goes on once the event is set."""
    spawn, begun, go_on = child._spawn, asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await go_on.wait()
        await spawn()

    monkeypatch.setattr(child, "_spawn", slow)
    child.signal(signal.SIGKILL)
    await begun.wait()
    return go_on


async def test_what_is_put_down_while_it_is_being_started_is_down_and_stays_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = world.child()
    await child.start()
    go_on = await _being_started(child, monkeypatch)
    putting = asyncio.create_task(child.put_down(5.0))
    await asyncio.sleep(0)
    assert not putting.done()
    go_on.set()
    assert await putting
    assert (child.pid, child.restarts) == (None, 1)
    child.release()
    await eventually(lambda: child.ready and child.restarts == 2)


async def test_what_is_released_and_put_down_at_one_stroke_is_not_started(world: World) -> None:
    child = world.child()
    await _between_two_starts(child)
    await eventually(lambda: bool(child._released._waiters))
    child.release()
    assert await child.put_down(5.0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (child.pid, child.restarts) == (None, 0)
    child.release()
    await eventually(lambda: child.ready and child.restarts == 1)


async def test_a_kill_that_holds_down_strikes_what_was_being_started_just_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, faults = world.child(), world.faults()
    await child.start()
    go_on = await _being_started(child, monkeypatch)
    fault_id = await faults.inject(FaultRequest("role", "kill", lease_s=60))
    (fault,) = faults.active()
    go_on.set()
    await eventually(lambda: fault.struck == 1 and child.pid is None)
    assert child.restarts == 1
    await faults.heal(fault_id)
    await eventually(lambda: child.ready and child.restarts == 2)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (FaultRequest("nobody", "kill"), "not-found"),
        (FaultRequest("role", "explode"), "validation-failed"),
        (FaultRequest("role", "stop", lease_s=-1), "validation-failed"),
        (FaultRequest("role", "stop", lease_s=1e9), "validation-failed"),
    ],
)
async def test_a_wrong_fault_is_refused(world: World, request_: FaultRequest, code: str) -> None:
    world.child()
    with pytest.raises(Problem) as caught:
        await world.faults().inject(request_)
    assert caught.value.kind.code == code


async def test_children_are_not_in_our_process_group(world: World) -> None:
    child = world.child()
    await child.start()
    assert child.pid is not None
    assert os.getpgid(child.pid) != os.getpgid(0)
