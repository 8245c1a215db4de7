"""Faults with leases: each is begun by the keeper of its scope, and ended once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from simulator.faults.catalogue import KINDS, LEASE_MOST_S, SEED_MOST, Kind, Scope, kind_of, params_of
from simulator.faults.proxy import TcpProxy
from simulator.supervisor.brokerfaults import BrokerKeeper
from simulator.supervisor.children import Child
from simulator.supervisor.faultkeepers import Fault, Keeper, LinkKeeper, ProcessKeeper, RoleKeeper, StoreKeeper
from simulator.supervisor.spec import Notice, Tell
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem
from zjops.domain.ids import Ids
from zjops.domain.runfile import RunFile

ACTIVE_MOST = 64


class FaultRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /faults` takes. `lease_s` of a kill holds the restart back; of all others, it ends them.

    What a fault does by chance, a share or a jitter, it does the same again for the same `seed`, target and fault.
    """

    target: str
    fault: str
    params: dict[str, float] = {}
    lease_s: float | None = None
    seed: int | None = None


class Faults:
    """What is broken on purpose at this moment."""

    def __init__(self, keepers: Mapping[Scope, Keeper], clock: Clock, ids: Ids, tell: Tell) -> None:
        self._keepers, self._clock, self._ids, self._tell = keepers, clock, ids, tell
        self._active: dict[str, Fault] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}

    def active(self) -> list[Fault]:
        """What is not healed yet."""
        return list(self._active.values())

    def catalogue(self) -> list[dict[str, object]]:
        """Every fault, and what it can be done to here."""
        return [
            {
                "fault": kind.name, "meaning": kind.meaning, "targets": self._targets(kind), "lease_s": kind.lease_s,
                "params": {name: {"usual": p.usual, "least": p.least, "most": p.most, "meaning": p.meaning}
                           for name, p in kind.params.items()},
            }
            for kind in KINDS.values()
        ]  # fmt: skip

    async def inject(self, asked: FaultRequest) -> str:
        """Begin a fault; returns its id. Raises `Problem`."""
        kind = kind_of(asked.fault)
        if asked.target not in self._targets(kind):
            raise Problem("not-found", self._no_target(kind, asked.target))
        params, lease_s, seed = params_of(kind, asked.params), _lease_s(kind, asked), _seed(asked)
        if len(self._active) >= ACTIVE_MOST:
            raise Problem("validation-failed", f"{ACTIVE_MOST} faults are active; heal some first.")
        until_ms = self._clock.now_ms() + round(lease_s * 1000)
        fault = Fault(self._ids.token(8).hex(), asked.target, kind.name, until_ms, params, seed)
        self._tell(Notice(event="note", name=asked.target, message=f"fault: {kind.name} for {lease_s:g} s"))
        if kind.name == "continue":
            await self._end_all(asked.target)
        # It counts from now on: a fault that begins half and fails is taken back like any other.
        self._active[fault.id] = fault
        if lease_s:
            self._timers[fault.id] = asyncio.create_task(self._expire(fault.id, lease_s))
        try:
            await self._keepers[kind.scope].begin(fault)
        except BaseException:
            await self._take_back(fault)
            raise
        if not lease_s or fault.id not in self._active:
            await self._take_back(fault)
        return fault.id

    async def _take_back(self, fault: Fault) -> None:
        """End a fault. One that was ended while it still began is undone again, by what it has done since."""
        if not await self.heal(fault.id):
            await self._keepers[KINDS[fault.fault].scope].end(fault, self.active())

    def _targets(self, kind: Kind) -> list[str]:
        keeper = self._keepers.get(kind.scope)
        return [] if keeper is None else keeper.targets(kind)

    def _no_target(self, kind: Kind, target: str) -> str:
        there = self._targets(kind)
        if not there and kind.scope == "link":
            return "This platform has no proxies before its parts; start it with: zjops up --set proxies=true"
        return f"{kind.name} cannot be done to {target}; it can be done to {', '.join(there) or 'nothing here'}."

    async def _expire(self, fault_id: str, lease_s: float) -> None:
        await self._clock.sleep(lease_s)
        await self.heal(fault_id)

    async def heal(self, fault_id: str) -> bool:
        """End a fault; whether it was active."""
        fault = self._active.pop(fault_id, None)
        timer = self._timers.pop(fault_id, None)
        if timer is not None and timer is not asyncio.current_task():
            timer.cancel()
        if fault is None:
            return False
        await self._keepers[KINDS[fault.fault].scope].end(fault, self.active())
        self._tell(Notice(event="note", name=fault.target, message=f"healed: {fault.fault}{_came_to(fault)}"))
        return True

    async def heal_all(self) -> int:
        """End every fault; returns how many there were."""
        return sum([await self.heal(fault_id) for fault_id in list(self._active)])

    async def _end_all(self, target: str) -> None:
        for fault in [fault for fault in self._active.values() if fault.target == target]:
            await self.heal(fault.id)

    async def stop(self) -> None:
        """Heal everything."""
        timers = list(self._timers.values())
        await self.heal_all()
        for timer in timers:
            with contextlib.suppress(asyncio.CancelledError):
                await timer


def keepers(
    children: Mapping[str, Child], proxies: Mapping[str, TcpProxy], home: Path, run: RunFile, clock: Clock
) -> dict[Scope, Keeper]:
    """Who keeps the faults of each scope on a platform of these children."""
    return {
        "process": ProcessKeeper(children, clock), "link": LinkKeeper(proxies, clock),
        "role": RoleKeeper(children, home, clock), "store": StoreKeeper(home, clock),
        "broker": BrokerKeeper(children["broker"], home, run, clock),
    }  # fmt: skip


def _came_to(fault: Fault) -> str:
    """What a fault says of what it did."""
    if fault.held_mb is not None:
        return f", which held {fault.held_mb:g} MB"
    return "" if fault.struck is None else f", which struck {fault.struck} time{'' if fault.struck == 1 else 's'}"


def _lease_s(kind: Kind, asked: FaultRequest) -> float:
    """How long it lasts. Raises `Problem`."""
    lease_s = kind.lease_s if asked.lease_s is None else asked.lease_s
    if not 0 <= lease_s <= LEASE_MOST_S:
        raise Problem("validation-failed", f"lease_s must lie between 0 and {LEASE_MOST_S:.0f}.")
    return lease_s


def _seed(asked: FaultRequest) -> int | None:
    """What its chance begins from. Raises `Problem`."""
    if asked.seed is not None and not 0 <= asked.seed <= SEED_MOST:
        raise Problem("validation-failed", f"seed must lie between 0 and {SEED_MOST}.")
    return asked.seed
