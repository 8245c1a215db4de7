"""Faults of a process as a whole that only it can do to itself: a wrong clock, and memory that is used up."""

from __future__ import annotations

import os
from pathlib import Path

from simulator.faults.switchboard import Switchboard
from zjops.domain.clock import Clock

MB = 1_000_000
PIECE = 8 * MB


class FaultyClock:
    """A machine whose wall clock is wrong; what it measures by its own ticks is right."""

    def __init__(self, inner: Clock, faults: Switchboard) -> None:
        self._inner, self._faults = inner, faults

    def now_ms(self) -> int:
        now = self._inner.now_ms()
        if self._faults.idle:
            return now
        params = self._faults.params("clock.skew")
        return now if params is None else now + round(params["seconds"] * 1000)

    def monotonic(self) -> float:
        return self._inner.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the kernel does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Ballast:
    """Bytes that do nothing but fill the process up to a share of its limit."""

    def __init__(self) -> None:
        self._pieces: list[bytearray] = []

    @property
    def held(self) -> int:
        """How many bytes it holds."""
        return len(self._pieces) * PIECE

    def act(self, faults: Switchboard) -> None:
        """Fill a piece more, or let go; called again while the fault holds, so that a step is never long."""
        params = faults.params("memory.ballast")
        if params is None:
            self._pieces.clear()
            return
        if resident_bytes() + PIECE <= params["share"] * params["limit_mb"] * MB:
            # Written to, so that the pages are there.
            self._pieces.append(bytearray(b"\x01") * PIECE)
