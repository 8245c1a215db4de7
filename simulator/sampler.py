"""Gauges that nobody's own work would set: how deep the queues are, how much the outbox holds (R113)."""

from __future__ import annotations

import contextlib

from simulator.broker.port import Broker
from simulator.service import Looped
from simulator.store.port import Store
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError
from zjops.domain.events import DURABLES, WORK


class Sampler(Looped):
    """Looks every few seconds; what cannot be read keeps its last value."""

    def __init__(self, store: Store, broker: Broker, clock: Clock, telemetry: Telemetry, *, every_s: float) -> None:
        super().__init__("sampler")
        self._store, self._broker, self._clock, self._telemetry = store, broker, clock, telemetry
        self._every_s = every_s

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(UnreachableError):
                await self.sample()
            await self._clock.sleep(self._every_s)

    async def sample(self) -> None:
        """Set every gauge once. Raises `UnreachableError`."""
        for durable in DURABLES:
            if durable.stream == WORK:
                depth = await self._broker.pending(durable.name)
                self._telemetry.gauge("jobs_queue_depth", depth, durable=durable.name)
        waiting = await self._store.read(lambda tx: tx.one("outbox_unpublished"))
        assert waiting is not None
        self._telemetry.gauge("outbox_unpublished", waiting["count"])
