"""A fault of a process as a whole that only it can do to itself: a wrong clock."""

from __future__ import annotations

from simulator.faults.switchboard import Switchboard
from zjops.domain.clock import Clock


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
