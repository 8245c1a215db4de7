"""Leased process faults: kill, stop and continue, healed by the supervisor when the lease ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import msgspec

from simulator.supervisor.children import Child
from simulator.supervisor.spec import Notice, Tell
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem
from zjops.domain.ids import Ids

KINDS = ("kill", "stop", "continue")
LEASE_MOST_S = 3600.0
STOP_LEASE_S = 30.0


class FaultRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /faults` takes. `lease_s` of a kill holds the restart back; of a stop, ends it."""

    target: str
    fault: str
    params: dict[str, Any] = {}
    lease_s: float | None = None


class Fault(msgspec.Struct, frozen=True):
    """A fault that is active."""

    id: str
    target: str
    fault: str
    until_ms: int


class Faults:
    """Injects faults into children and heals each once: at the end of its lease, on request, or at shutdown."""

    def __init__(self, children: dict[str, Child], clock: Clock, ids: Ids, tell: Tell) -> None:
        self._children, self._clock, self._ids, self._tell = children, clock, ids, tell
        self._active: dict[str, Fault] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}

    def active(self) -> list[Fault]:
        """What is not healed yet."""
        return list(self._active.values())

    def inject(self, asked: FaultRequest) -> str:
        """Begin a fault; returns its id. Raises `Problem`."""
        child = self._children.get(asked.target)
        if child is None:
            raise Problem("not-found", f"There is no process {asked.target}; there are {', '.join(self._children)}.")
        if asked.fault not in KINDS:
            raise Problem("validation-failed", f"fault must be one of {', '.join(KINDS)}.")
        lease_s = asked.lease_s if asked.lease_s is not None else (STOP_LEASE_S if asked.fault == "stop" else 0.0)
        if not 0 <= lease_s <= LEASE_MOST_S:
            raise Problem("validation-failed", f"lease_s must lie between 0 and {LEASE_MOST_S:.0f}.")
        fault_id = self._ids.token(8).hex()
        self._tell(Notice(event="note", name=child.spec.name, message=f"fault: {asked.fault} for {lease_s:g} s"))
        self._begin(child, asked.fault)
        if asked.fault == "continue":
            self._heal_target(asked.target)
        elif lease_s or asked.fault == "stop":
            until = self._clock.now_ms() + round(lease_s * 1000)
            self._active[fault_id] = Fault(fault_id, asked.target, asked.fault, until)
            self._timers[fault_id] = asyncio.create_task(self._expire(fault_id, lease_s))
        else:
            child.release()
        return fault_id

    def _begin(self, child: Child, fault: str) -> None:
        if fault == "kill":
            child.hold()
            child.signal(signal.SIGKILL)
        elif fault == "stop":
            child.signal(signal.SIGSTOP)

    async def _expire(self, fault_id: str, lease_s: float) -> None:
        await self._clock.sleep(lease_s)
        self.heal(fault_id)

    def heal(self, fault_id: str) -> bool:
        """End a fault; whether it was active."""
        fault = self._active.pop(fault_id, None)
        timer = self._timers.pop(fault_id, None)
        if timer is not None and timer is not asyncio.current_task():
            timer.cancel()
        if fault is None:
            return False
        child = self._children[fault.target]
        others = [f for f in self._active.values() if f.target == fault.target]
        if not any(f.fault == "stop" for f in others):
            child.signal(signal.SIGCONT)
        if not any(f.fault == "kill" for f in others):
            child.release()
        self._tell(Notice(event="note", name=fault.target, message=f"healed: {fault.fault}"))
        return True

    def _heal_target(self, target: str) -> None:
        for fault in [f for f in self._active.values() if f.target == target]:
            self.heal(fault.id)
        self._children[target].signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Heal everything."""
        timers = list(self._timers.values())
        for fault_id in list(self._active):
            self.heal(fault_id)
        for timer in timers:
            with contextlib.suppress(asyncio.CancelledError):
                await timer
