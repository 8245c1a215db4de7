"""Leaves the first processors to the API while it has something to do (`simulator.policy.placing`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from simulator.policy.placing import Load, apart
from simulator.service import Looped, T
from simulator.supervisor.children import Child
from zjops.domain.clock import Clock
from zjops.domain.processors import beside, keep_to, mine

LOOK_EVERY_S = 0.25


class Placing(Looped):
    """Looks at what the processes use, and where they may; nothing happens on a machine without room for both."""

    def __init__(self, children: Mapping[str, Child], clock: Clock) -> None:
        super().__init__("placing")
        self._children, self._clock = children, clock
        self._all = mine()
        self._answering = sum(_answers(child) for child in children.values())
        self._rest = beside(self._all, self._answering)
        self._apart = False
        self._used: dict[int, float] = {}
        self._kept: dict[int, frozenset[int]] = {}

    async def _run(self) -> None:
        if self._rest == self._all:
            return
        self._apart, at = True, self._clock.monotonic()
        self._use()
        while True:
            self._place()
            await self._clock.sleep(LOOK_EVERY_S)
            now = self._clock.monotonic()
            if now > at:
                self._apart = apart(self._load(now - at), len(self._rest), self._apart)
            at = now

    async def stop(self) -> None:
        """Whoever is started from here on may run where it likes again."""
        await super().stop()
        if self._kept:
            keep_to(self._all, os.getpid())
            self._kept.clear()

    def _place(self) -> None:
        """Put each process, and this one, where it may be; one that was started anew begins where this one is."""
        rest = self._rest if self._apart else self._all
        wanted = {os.getpid(): rest} | self._of_each(lambda child: self._all if _answers(child) else rest)
        for pid, processors in wanted.items():
            if self._kept.get(pid) != processors:
                for one in _family(pid) if pid != os.getpid() else [pid]:
                    keep_to(processors, one)
        self._kept = wanted

    def _load(self, seconds: float) -> Load:
        before = self._used
        self._use()
        shares = {pid: max(0.0, used - before.get(pid, used)) / seconds for pid, used in self._used.items()}
        api = self._of_each(_answers)
        return Load(
            max((share for pid, share in shares.items() if api[pid]), default=0.0),
            sum(share for pid, share in shares.items() if not api[pid]),
        )

    def _use(self) -> None:
        self._used = {pid: _seconds(pid) for pid in self._of_each(_answers)}

    def _of_each(self, what: Callable[[Child], T]) -> dict[int, T]:
        return {child.pid: what(child) for child in self._children.values() if child.pid is not None}


def _answers(child: Child) -> bool:
    return "api" in child.spec.roles


def _seconds(pid: int) -> float:
    """What a process and all that it has started have used so far; one that has ended, nothing more."""
    used = 0.0
    for one in _family(pid):
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(one).cpu_times()
            used += times.user + times.system
    return used


def _family(pid: int) -> list[int]:
    """A process and all that it has started, from the kernel's own lists (proc_tid_children(5)): cheap to ask often."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found
