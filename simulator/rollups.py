"""The request log's beginning: what this process answered in each second goes out on TELEMETRY, once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

import msgspec

from simulator.broker.port import Broker, Outgoing
from simulator.service import background
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError
from zjops.domain.events import TELEMETRY
from zjops.domain.ids import Ids
from zjops.domain.requests import TELEMETRY_HTTP, Rollup

KEPT_MOST = 3_600
"""Seconds that wait for a broker which is away; what is older is given up, and said to be."""
AGAIN_AFTER_S = 1.0
SENT_AT_ONCE = 250

Take = Callable[[int, str], list[Rollup]]


class Rollups:
    """Takes the counts of every second that has ended, and publishes them in order.

    A message has an id, so that one whose acknowledgement was lost is not stored twice within the stream's duplicate
    window. What a killed process had counted in its last second is lost: nothing is billed by it.
    """

    def __init__(self, take: Take, broker: Broker, clock: Clock, ids: Ids, telemetry: Telemetry) -> None:
        self._take, self._broker, self._clock, self._telemetry = take, broker, clock, telemetry
        self._life, self._number = ids.token(8).hex(), 0
        self._waiting: deque[Outgoing] = deque()
        self._given_up = 0
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to count."""
        if not self._tasks:
            self._tasks = [background(self._count(), "request counts"), background(self._publish(), "request rollups")]

    async def stop(self) -> None:
        """Send the rest, if the broker is there."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if tasks:
            self.collect()
            with contextlib.suppress(UnreachableError):
                await self.send()

    async def _count(self) -> None:
        while True:
            await self._clock.sleep((1_000 - self._clock.now_ms() % 1_000) / 1_000)
            self.collect()

    def collect(self) -> None:
        """Put the counts of the second that has just ended in line."""
        # The moment that has just begun belongs to the next second.
        rows = self._take((self._clock.now_ms() - 1) // 1_000, self._telemetry.service)
        if not rows:
            return
        self._number += 1
        self._waiting.append(Outgoing(TELEMETRY_HTTP, msgspec.json.encode(rows), f"{self._life}-{self._number}"))
        if len(self._waiting) > KEPT_MOST:
            self._waiting.popleft()
            self._given_up += 1
        self._news.set()

    async def _publish(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self.send()
            except UnreachableError as exc:
                self._telemetry.log("warning", "request rollups wait", reason=str(exc))
                await self._clock.sleep(AGAIN_AFTER_S)
                self._news.set()

    async def send(self) -> None:
        """Publish what waits. Raises `UnreachableError`; it then still waits."""
        while self._waiting:
            part = list(self._waiting)[:SENT_AT_ONCE]
            await self._broker.publish(TELEMETRY, part)
            # What was given up meanwhile stood at the front too.
            for message in part:
                if self._waiting and self._waiting[0] is message:
                    self._waiting.popleft()
        if self._given_up:
            self._telemetry.log("error", "request rollups were given up", seconds=self._given_up)
            self._given_up = 0
