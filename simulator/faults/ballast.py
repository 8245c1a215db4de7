"""Memory that is used up: ballast in a role process, and what the process tells its supervisor of it."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from simulator.faults.switchboard import FOLDER, Switchboard

MB = 1_000_000
PIECE = 8 * MB
BALLAST = "memory.ballast"
STATM, CGROUP, CGROUPS = Path("/proc/self/statm"), Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
VIRTUAL, RESIDENT = 0, 1
"""Columns of `statm`."""


class Told(msgspec.Struct, frozen=True):
    """What a process says of a fault: how much ballast it holds, how large it is by now, and by which limit.

    `full` says that it may take no more; with nothing held, the fault does nothing.
    """

    id: str
    held_mb: float
    used_mb: float
    limit_mb: float
    full: bool

    @property
    def vain(self) -> bool:
        """Whether there was nothing to fill."""
        return self.full and not self.held_mb


Tell = Callable[[Told | None], None]
"""Takes what is new, None once all is let go."""


class Limit(NamedTuple):
    """How many bytes a process may have, and how many it has of what is counted."""

    most: float
    used: int


def used_bytes(column: int = RESIDENT) -> int:
    """Memory of this process; 0 where the kernel does not say."""
    try:
        pages = int(STATM.read_text().split()[column])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def own_limit(cgroup: Path = CGROUP, cgroups: Path = CGROUPS) -> Limit | None:
    """The nearest limit that the kernel sets this process alone; None where it sets none.

    One that it shares with others is not its own: whoever filled up to that would take the room of them all.
    """
    found = []
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        found.append(Limit(most, used_bytes(VIRTUAL)))
    with contextlib.suppress(OSError, ValueError, StopIteration):
        path = next(line.removeprefix("0::/") for line in cgroup.read_text().split("\n") if line.startswith("0::/"))
        if (cgroups / path / "cgroup.procs").read_text().split() == [str(os.getpid())]:
            found.append(Limit(int((cgroups / path / "memory.max").read_text()), used_bytes()))
    return min(found, key=lambda limit: limit.most - limit.used, default=None)


class Ballast:
    """Bytes that do nothing but fill the process up to a share of its limit."""

    def __init__(self, tell: Tell = lambda told: None, limit: Callable[[], Limit | None] = own_limit) -> None:
        self._tell, self._limit = tell, limit
        self._pieces: list[bytearray] = []
        self._told: Told | None = None

    @property
    def held(self) -> int:
        """How many bytes it holds."""
        return len(self._pieces) * PIECE

    def act(self, faults: Switchboard) -> None:
        """Fill a piece more, or let go; called again while the fault holds, so that a step is never long."""
        found = faults.held(BALLAST)
        told = None
        if found is None:
            self._pieces.clear()
        else:
            told = self._filled(found.fault.id, found.fault.params)
        if _without_use(told) != _without_use(self._told):
            self._tell(told)
        self._told = told

    def _filled(self, id: str, params: dict[str, float]) -> Told:
        most, used = self._limit() or Limit(params["limit_mb"] * MB, used_bytes())
        full = used + PIECE > params["share"] * most
        if not full:
            # Written to, so that the pages are there.
            self._pieces.append(bytearray(b"\x01") * PIECE)
            used += PIECE
        return Told(id, self.held / MB, round(used / MB, 1), round(most / MB, 1), full)


def _without_use(told: Told | None) -> Told | None:
    """What is worth telling: that the process breathes is not."""
    return told and msgspec.structs.replace(told, used_mb=0.0)


def told_file(home: Path, process: str) -> Path:
    """Where a process says what it holds."""
    return home / FOLDER / f"{process}.ballast.json"


def read_told(home: Path, process: str) -> Told | None:
    """What a process says that it holds; None when it says nothing."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(told_file(home, process).read_bytes(), type=Told)
    return None


def teller(home: Path, process: str, log: Callable[..., None]) -> Tell:
    """Writes down what a process holds, in one step, and logs where it comes to its end."""
    path = told_file(home, process)

    def tell(told: Told | None) -> None:
        with contextlib.suppress(OSError):
            if told is None:
                path.unlink(missing_ok=True)
            else:
                beside = path.with_suffix(".part")
                beside.write_bytes(msgspec.json.encode(told))
                beside.replace(path)
        if told is not None and told.full:
            text = "there is no room for ballast" if told.vain else "ballast fills the process"
            log("warning", text, held_mb=told.held_mb, used_mb=told.used_mb, limit_mb=told.limit_mb)

    return tell
