"""The faults of one role process: told by the supervisor in a file, ended here when their lease does.

The process keeps the leases itself, so that faults end though whoever asked for them, or the supervisor, has died.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from simulator.service import Looped
from zjops.domain.clock import Clock

FOLDER = "faults"
LOOK_EVERY_S = 0.2


class ActiveFault(msgspec.Struct, frozen=True):
    """A fault of a process until a moment in Unix ms; `seed` is that of its chance, None for another each time."""

    id: str
    fault: str
    params: dict[str, float]
    until_ms: int
    seed: str | None = None


def fault_file(home: Path, process: str) -> Path:
    """Where the faults of a process stand."""
    return home / FOLDER / f"{process}.json"


def write_faults(home: Path, process: str, faults: Sequence[ActiveFault]) -> None:
    """Replace the faults of a process, in one step; with none the file goes. Raises `OSError`."""
    path = fault_file(home, process)
    if not faults:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    beside = path.with_suffix(".part")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(list(faults)))
    beside.replace(path)


def forget_faults(home: Path) -> None:
    """No process has any fault any more."""
    for path in (home / FOLDER).glob("*.json"):
        with contextlib.suppress(OSError):
            path.unlink()


def read_faults(home: Path, process: str) -> list[ActiveFault]:
    """The faults of a process; none when nothing can be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(fault_file(home, process).read_bytes(), type=list[ActiveFault])
    return []


class Held(NamedTuple):
    """A fault that holds and its own chance, so that what else happens does not change what it does."""

    fault: ActiveFault
    chance: random.Random


class Switchboard:
    """Which faults hold now. `idle` is what a wrapper asks first, as it is so nearly always."""

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._random = random.Random(seed)  # noqa: S311 - chance, no secret
        self.idle = True

    def replace(self, faults: Sequence[ActiveFault]) -> None:
        """These hold from now on and no others; what held before goes on where its chance was."""
        now_ms = self._clock.now_ms()
        self._held = {one.id: self._begun(one) for one in faults if one.until_ms > now_ms}
        self.idle = not self._held

    def _begun(self, fault: ActiveFault) -> Held:
        former = self._held.get(fault.id)
        if former is not None and former.fault == fault:
            return former
        return Held(fault, self._random if fault.seed is None else random.Random(fault.seed))  # noqa: S311 - chance

    def held(self, fault: str) -> Held | None:
        """The newest fault of a kind whose lease lasts, None where there is none."""
        for one in reversed(list(self._held.values())):
            if one.fault.fault == fault:
                if one.fault.until_ms > self._clock.now_ms():
                    return one
                self._held.pop(one.fault.id, None)
                self.idle = not self._held
        return None

    def params(self, fault: str) -> dict[str, float] | None:
        """The parameters of a fault that holds, else None."""
        found = self.held(fault)
        return None if found is None else found.fault.params

    def strikes(self, fault: str) -> bool:
        """Whether a fault that has a share holds and it is this call's turn."""
        found = None if self.idle else self.held(fault)
        return found is not None and found.chance.random() < found.fault.params["share"]


class FaultWatch(Looped):
    """Reads what the supervisor has written, and tells those who must act when a fault begins or ends."""

    def __init__(self, switchboard: Switchboard, home: Path, process: str, clock: Clock) -> None:
        super().__init__("faults")
        self._switchboard, self._home, self._process, self._clock = switchboard, home, process, clock
        self._acts: list[Callable[[Switchboard], None]] = []
        self._seen: tuple[int, int] | None = (0, 0)

    def also(self, act: Callable[[Switchboard], None]) -> None:
        """Call this after every look while something holds or has just ended."""
        self._acts.append(act)

    def look(self) -> None:
        """Read the file, if it is another than before."""
        try:
            found = fault_file(self._home, self._process).stat()
            seen: tuple[int, int] | None = (found.st_mtime_ns, found.st_ino)
        except OSError:
            seen = None
        changed = seen != self._seen
        if changed:
            self._seen = seen
            self._switchboard.replace(read_faults(self._home, self._process))
        if changed or not self._switchboard.idle:
            for act in self._acts:
                act(self._switchboard)

    async def _run(self) -> None:
        while True:
            self.look()
            await self._clock.sleep(LOOK_EVERY_S)
