"""Who does what a fault asks for and takes it back, one keeper for each scope of the catalogue."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from simulator.config import STORE_FILE
from simulator.faults.ballast import BALLAST, read_told
from simulator.faults.catalogue import Kind
from simulator.faults.proxy import Conditions, TcpProxy
from simulator.faults.switchboard import ActiveFault, write_faults
from simulator.service import background
from simulator.supervisor.children import Child
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem

THERE_WITHIN_S = 8.0
"""How long a kill without a lease waits for a process that is between two starts: longer than the longest back-off."""

LISTEN_EVERY_S = 0.2


class Fault(msgspec.Struct):
    """A fault that is active, until a moment in Unix ms; the same `seed` has it strike the same, None by chance.

    `struck` counts how many processes a kill has killed, `held_mb` is how much ballast there is; None of all others.
    """

    id: str
    target: str
    fault: str
    until_ms: int
    params: dict[str, float] = {}
    seed: int | None = None
    struck: int | None = None
    held_mb: float | None = None

    @property
    def holds_down(self) -> bool:
        """Whether the process may not start again while it lasts."""
        return self.fault == "broker.cut_tail" or (self.fault == "kill" and not self.params["every_s"])

    @property
    def drawn_by(self) -> str | None:
        """The seed of its own chance, which no other target or kind of fault shares."""
        return None if self.seed is None else f"{self.seed} {self.target} {self.fault}"


class Keeper(Protocol):
    """Does and undoes faults of one scope. `others` are those that stay active."""

    def targets(self, kind: Kind) -> list[str]:
        """What a fault of its scope can be done to."""
        ...

    async def begin(self, fault: Fault) -> None:
        """Do it. Raises `Problem`."""
        ...

    async def end(self, fault: Fault, others: list[Fault]) -> None:
        """Undo it; never fails, and is safe twice."""
        ...


class Repeating:
    """Acts that are done again and again while a fault lasts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loops: dict[str, asyncio.Task[None]] = {}

    def every(self, fault_id: str, seconds: float, act: Callable[[], None]) -> None:
        """Do it now, and again so often; with 0 only now."""
        act()
        if seconds:
            self.run(fault_id, self._repeat(seconds, act))

    async def _repeat(self, seconds: float, act: Callable[[], None]) -> None:
        while True:
            await self._clock.sleep(seconds)
            act()

    def run(self, fault_id: str, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a loop until `end`, in place of one that runs already."""
        former = self._loops.pop(fault_id, None)
        if former is not None:
            former.cancel()
        task = self._loops[fault_id] = background(loop, f"fault {fault_id}")
        return task

    async def end(self, fault_id: str) -> None:
        """Stop repeating."""
        task = self._loops.pop(fault_id, None)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class ProcessKeeper:
    """Kills, stops, throttles and continues children of the supervisor."""

    def __init__(self, children: Mapping[str, Child], clock: Clock) -> None:
        self._children, self._clock = children, clock
        self._repeating = Repeating(clock)
        self._stopped: dict[str, str] = {}
        """The targets of faults that stop them, by the faults' ids."""

    def targets(self, kind: Kind) -> list[str]:
        return list(self._children)

    async def begin(self, fault: Fault) -> None:
        child = self._children[fault.target]
        if fault.fault == "kill":
            await self._kill(child, fault)
        elif fault.fault == "stop":
            self._stopped[fault.id] = fault.target
            child.signal(signal.SIGSTOP)
        elif fault.fault == "throttle":
            self._repeating.run(fault.id, self._throttle(fault.target, fault.params))

    async def _kill(self, child: Child, fault: Fault) -> None:
        """Now if it runs, else once it does: between two starts of it there is nothing to kill."""
        fault.struck = 0
        former, lasts = child.pid, fault.until_ms > self._clock.now_ms()
        if lasts and fault.holds_down:
            child.hold()
        if former is not None:
            _strike(child, fault)
        if lasts:
            self._repeating.run(fault.id, self._strike_again(child, fault, former))
        elif former is None:
            await asyncio.wait([self._repeating.run(fault.id, _strike_once(child, fault))], timeout=THERE_WITHIN_S)
            if not fault.struck:
                raise Problem("conflict", f"{fault.target} was not started in {THERE_WITHIN_S:.0f} s: nothing to kill.")

    async def _strike_again(self, child: Child, fault: Fault, former: int | None) -> None:
        """Kill every process that comes after a former one; what is held down comes once at most, if it was on its way.

        Which was the former one counts, for one that was killed seems to run until its end is noticed.
        """
        every_s = fault.params["every_s"]
        while True:
            if former is not None:
                await self._clock.sleep(every_s)
            former = await child.runs_as_another(former)
            _strike(child, fault)

    async def _throttle(self, target: str, params: dict[str, float]) -> None:
        stopped_s = params["stopped_ms"] / 1000
        goes_s = max(0.001, params["period_ms"] / 1000 - stopped_s)
        while True:
            self._children[target].signal(signal.SIGSTOP)
            await self._clock.sleep(stopped_s)
            self._go_on(target)
            await self._clock.sleep(goes_s)

    async def end(self, fault: Fault, others: list[Fault]) -> None:
        await self._repeating.end(fault.id)
        self._stopped.pop(fault.id, None)
        self._go_on(fault.target)
        release(self._children[fault.target], fault.target, others)

    def _go_on(self, target: str) -> None:
        if target not in self._stopped.values():
            self._children[target].signal(signal.SIGCONT)


def _strike(child: Child, fault: Fault) -> None:
    child.signal(signal.SIGKILL)
    fault.struck = (fault.struck or 0) + 1


async def _strike_once(child: Child, fault: Fault) -> None:
    await child.runs_as_another(None)
    _strike(child, fault)


def release(child: Child, target: str, others: list[Fault]) -> None:
    """Let a process start again, unless another fault still holds it down."""
    if not any(other.target == target and other.holds_down for other in others):
        child.release()


class LinkKeeper:
    """Sets the conditions of the proxies in front of the API, the broker and the chain."""

    def __init__(self, proxies: Mapping[str, TcpProxy], clock: Clock) -> None:
        self._proxies = proxies
        self._repeating = Repeating(clock)
        self._chances: dict[str, random.Random] = {}

    def targets(self, kind: Kind) -> list[str]:
        return list(self._proxies)

    async def begin(self, fault: Fault) -> None:
        proxy = self._proxies[fault.target]
        if fault.seed is not None:
            self._chances[fault.id] = random.Random(fault.drawn_by)  # noqa: S311 - chance, no secret
        self._put(fault, proxy.conditions)
        if fault.fault == "link.reset":
            self._repeating.every(fault.id, fault.params["every_s"], proxy.reset)
        elif fault.fault == "link.cut":
            proxy.reset()

    async def end(self, fault: Fault, others: list[Fault]) -> None:
        await self._repeating.end(fault.id)
        self._chances.pop(fault.id, None)
        conditions = self._proxies[fault.target].conditions
        left = [other for other in others if (other.target, other.fault) == (fault.target, fault.fault)]
        if left:
            self._put(left[-1], conditions)
        else:
            conditions.faults.pop(fault.fault, None)
            conditions.chances.pop(fault.fault, None)

    def _put(self, fault: Fault, conditions: Conditions) -> None:
        conditions.faults[fault.fault] = fault.params
        if fault.id in self._chances:
            conditions.chances[fault.fault] = self._chances[fault.id]
        else:
            conditions.chances.pop(fault.fault, None)


class RoleKeeper:
    """Tells a role process which faults are around its ports; the process keeps the leases itself."""

    def __init__(self, children: Mapping[str, Child], home: Path, clock: Clock) -> None:
        self._children, self._home, self._clock = children, home, clock
        self._told: dict[str, list[Fault]] = {}
        self._repeating = Repeating(clock)

    def targets(self, kind: Kind) -> list[str]:
        return [name for name, child in self._children.items() if kind.acts_in(child.spec.roles)]

    async def begin(self, fault: Fault) -> None:
        self._tell(fault.target, [*self._told.get(fault.target, []), fault])
        if fault.fault == BALLAST:
            await self._hear(fault)

    async def _hear(self, fault: Fault) -> None:
        """Wait until the process holds ballast, and listen on. Raises `Problem` when there is nothing to fill."""
        heard = asyncio.Event()
        self._repeating.run(fault.id, self._listen(fault, heard))
        try:
            await asyncio.wait_for(heard.wait(), THERE_WITHIN_S)
        except TimeoutError:
            text = f"{fault.target} did not say in {THERE_WITHIN_S:.0f} s that it holds any ballast."
            raise Problem("conflict", text) from None
        if not fault.held_mb:
            told = read_told(self._home, fault.target)
            size = f" has {told.used_mb:g} MB of {told.limit_mb:g} already" if told else " is so large already"
            raise Problem("conflict", f"{fault.target}{size}: no room for ballast up to {fault.params['share']:.0%}.")

    async def _listen(self, fault: Fault, heard: asyncio.Event) -> None:
        while True:
            told = read_told(self._home, fault.target)
            if told is not None and told.id == fault.id:
                fault.held_mb = told.held_mb
                heard.set()
            await self._clock.sleep(LISTEN_EVERY_S)

    async def end(self, fault: Fault, others: list[Fault]) -> None:
        await self._repeating.end(fault.id)
        left = [other for other in self._told.get(fault.target, []) if other.id != fault.id]
        with contextlib.suppress(Problem):
            self._tell(fault.target, left)

    def _tell(self, target: str, faults: list[Fault]) -> None:
        rows = [ActiveFault(one.id, one.fault, one.params, one.until_ms, one.drawn_by) for one in faults]
        try:
            write_faults(self._home, target, rows)
        except OSError as exc:
            raise Problem("internal-error", f"the fault cannot be written down: {exc.strerror}") from exc
        self._told[target] = faults


class StoreKeeper:
    """Has another process hold the write lock of the store, which ends by itself too."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home, self._clock = home, clock
        self._lockers: dict[str, asyncio.subprocess.Process] = {}

    def targets(self, kind: Kind) -> list[str]:
        return ["store"]

    async def begin(self, fault: Fault) -> None:
        seconds = max(0.0, (fault.until_ms - self._clock.now_ms()) / 1000)
        self._lockers[fault.id] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulator.faults.locker", str(os.getpid()), str(self._home / STORE_FILE),
            str(seconds), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def end(self, fault: Fault, others: list[Fault]) -> None:
        locker = self._lockers.pop(fault.id, None)
        if locker is not None:
            with contextlib.suppress(ProcessLookupError):
                locker.kill()
            await locker.wait()
