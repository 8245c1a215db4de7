"""Leaves the first processors to the API while it has something to do (`simulator.policy.placing`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import psutil

from simulator.policy.backlog import FRESH_S
from simulator.policy.placing import Load, apart
from simulator.service import Looped, T
from simulator.supervisor.asking import Asked, asking
from simulator.supervisor.children import Child
from zjops.domain.clock import Clock
from zjops.domain.processors import beside, keep_to, mine

OK = 200
LOOK_EVERY_S, ASK_EVERY_S, ANSWER_WITHIN_S = 0.25, 1.0, 0.25
BEHIND = Asked("GET", "/behind")


class Placing(Looped):
    """Looks at what the processes use, and where they may.

    Nothing happens on a machine without room for both, or whose kernel does not tell what a process has started.
    """

    def __init__(self, children: Mapping[str, Child], clock: Clock) -> None:
        super().__init__("placing")
        self._children, self._clock = children, clock
        self._asks = [asking(child.spec.port) for child in children.values() if _settles(child) and child.spec.port]
        self._behind_s, self._asked_at, self._told_at = 0.0, float("-inf"), float("-inf")
        self._all = mine()
        self._rest = beside(self._all, sum(map(_answers, children.values())))
        self._apart = False
        self._used: dict[int, float] = {}
        """Processor seconds of each process that was there at the last look."""
        self._kept: dict[int, frozenset[int]] = {}

    async def _run(self) -> None:
        if self._rest == self._all or not _begun_by(os.getpid(), os.getpid()).exists():
            return
        self._apart, at = True, self._clock.monotonic()
        self._load(1.0)
        while True:
            self._place()
            await self._clock.sleep(LOOK_EVERY_S)
            now = self._clock.monotonic()
            await self._ask(now)
            if now > at:
                self._apart = apart(self._load(now - at), len(self._rest), self._apart)
            at = now

    async def _ask(self, now: float) -> None:
        """How far those that settle are behind; who does not answer, or cannot be read, says nothing new."""
        if now < self._asked_at + ASK_EVERY_S:
            return
        self._asked_at = now
        replies = [await ask(BEHIND, ANSWER_WITHIN_S) for ask in self._asks]
        told = [wait_s for one in replies if one.status == OK and (wait_s := _wait_s(one.body)) is not None]
        if told:
            self._behind_s, self._told_at = max(told), now
        elif now >= self._told_at + FRESH_S:
            self._behind_s = 0.0
        # A process that leaves its place while it holds what others wait for may have come back to a former one.
        self._kept.clear()

    async def stop(self) -> None:
        """Whoever is started from here on may run where it likes again."""
        await super().stop()
        if self._kept:
            keep_to(self._all, os.getpid())
            self._kept.clear()

    def _place(self) -> None:
        """Put each process, and this one, where it may be; one that was started anew begins where this one is."""
        rest, me = self._rest if self._apart else self._all, os.getpid()
        wanted = {me: rest} | self._of_each(lambda child: self._all if _answers(child) else rest)
        for pid, processors in wanted.items():
            if self._kept.get(pid) != processors:
                for one in [me] if pid == me else _family(pid):
                    keep_to(processors, one)
        self._kept = wanted

    def _load(self, seconds: float) -> Load:
        """What was used since the last look. A process that has ended since is not counted, nor taken off."""
        before, self._used = self._used, {}
        api, others = [0.0], 0.0
        for pid, answers in self._of_each(_answers).items():
            now = {one: _seconds(one) for one in _family(pid)}
            share = sum(max(0.0, used - before.get(one, 0.0)) for one, used in now.items()) / seconds
            self._used |= now
            if answers:
                api.append(share)
            else:
                others += share
        return Load(max(api), others, self._behind_s)

    def _of_each(self, what: Callable[[Child], T]) -> dict[int, T]:
        return {child.pid: what(child) for child in self._children.values() if child.pid is not None}


class _Behind(msgspec.Struct):
    wait_s: float


def _wait_s(body: bytes) -> float | None:
    try:
        return msgspec.json.decode(body, type=_Behind).wait_s
    except msgspec.MsgspecError:
        return None


def _settles(child: Child) -> bool:
    return "settlement" in child.spec.roles and not _answers(child)


def _answers(child: Child) -> bool:
    return "api" in child.spec.roles


def _seconds(pid: int) -> float:
    """What a process has used so far; one that has ended, nothing more."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _begun_by(pid: int, thread: int) -> Path:
    """The kernel's list of what a thread has started (proc_tid_children(5)): cheap to ask often."""
    return Path(f"/proc/{pid}/task/{thread}/children")


def _family(pid: int) -> Iterator[int]:
    """A process and all that it has started; each before its own are looked for, so that whoever moves it is first."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                for one in map(int, _begun_by(pid, int(thread.name)).read_text().split()):
                    yield from _family(one)
