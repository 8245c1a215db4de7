"""The hub of one process: who follows which job, woken by the broker's events and, for what those miss, by the store.

It tells only what the store holds, read at that moment; an event is no more than a hint that there is news.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

import msgspec

from simulator.broker.port import Broker, Unlisten
from simulator.live.changes import CONFIRMED, changes, is_over
from simulator.service import Looped
from simulator.store.port import Row, Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError
from zjops.domain.events import EventType
from zjops.domain.ids import job_key

QUEUE_MOST = 256
JOBS_MOST = 1_000
LOOK_EVERY_S = 1.0
READ_MOST = 500
GRACE_S = 0.25
"""How long the news of many jobs at once wait for a reader whose queue they fill."""


class SlowConsumer(Exception):
    """The other side does not read; it is dropped rather than buffered without bound."""


class Follower:
    """One connection: the jobs it follows, how far each was told, and what waits to be sent."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.told: dict[bytes, int] = {}
        self.waiting: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MOST)
        self.slow = False
        self._taken = asyncio.Event()

    def tell(self, row: Row) -> None:
        """Queue what is new of a job; one whose queue is full is marked slow."""
        key = row["id"]
        for change in changes(row, self.told.get(key, 0)):
            self.told[key] = change.number
            self._put(msgspec.json.encode(change.message))

    def _put(self, data: bytes | None) -> None:
        try:
            self.waiting.put_nowait(data)
        except asyncio.QueueFull:
            self.slow = True

    @property
    def full(self) -> bool:
        """Whether the queue may not hold all that one more job has to tell."""
        return not self.slow and self.waiting.qsize() + CONFIRMED > QUEUE_MOST

    async def room(self) -> None:
        """Wait until it is not full: many jobs with news at once make nobody slow who reads."""
        while self.full:
            self._taken.clear()
            await self._taken.wait()

    async def next(self, within_s: float) -> bytes | None:
        """The next message, None after a quiet time. Raises `SlowConsumer`."""
        if self.slow:
            raise SlowConsumer
        with contextlib.suppress(asyncio.TimeoutError):
            found = await asyncio.wait_for(self.waiting.get(), within_s)
            self._taken.set()
            return found
        return None


class Hub(Looped):
    """Reads news of followed jobs in few statements and hands it to their followers."""

    def __init__(self, store: Store, broker: Broker, clock: Clock) -> None:
        super().__init__("live hub")
        self._store, self._broker, self._clock = store, broker, clock
        self._followers: defaultdict[bytes, set[Follower]] = defaultdict(set)
        self._news: set[bytes] = set()
        self._rung = asyncio.Event()
        self._unlisten: list[Unlisten] = []

    async def follow(self, follower: Follower, keys: dict[bytes, int]) -> dict[bytes, str]:
        """Follow more jobs, each from a change number on; returns the status of those that exist and are its own."""
        rows = await self._read(list(keys))
        own = {row["id"]: row for row in rows if row["tenant"] == follower.tenant}
        for key in own:
            follower.told[key] = keys[key]
            self._followers[key].add(follower)
        for row in own.values():
            await follower.room()
            follower.tell(row)
            self._settle(row)
        if self._followers:
            await self._listen()
        return {key: row["status"] for key, row in own.items()}

    def unfollow(self, follower: Follower, keys: list[bytes] | None = None) -> None:
        """Forget jobs of a follower, or all of them."""
        for key in list(follower.told) if keys is None else keys:
            follower.told.pop(key, None)
            self._followers[key].discard(follower)
            if not self._followers[key]:
                del self._followers[key]

    @property
    def jobs(self) -> int:
        """How many jobs are followed in this process."""
        return len(self._followers)

    async def _listen(self) -> None:
        """Hear events only while somebody follows: they are many, and each costs something to hear."""
        if not self._unlisten:
            for kind in EventType:
                self._unlisten.append(await self._broker.listen(kind.subject, self._heard))

    async def _deafen(self) -> None:
        stops, self._unlisten = self._unlisten, []
        for stop in stops:
            await stop()

    async def _heard(self, subject: str, data: bytes) -> None:
        try:
            key = job_key(msgspec.json.decode(data, type=_Subject).subject)
        except (msgspec.MsgspecError, ValueError):
            return
        if key in self._followers:
            self._news.add(key)
            self._rung.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._rung.wait(), LOOK_EVERY_S)
            rung = self._rung.is_set()
            self._rung.clear()
            try:
                await self.look(set(self._news) if rung else None)
                if not self._followers:
                    await self._deafen()
            except UnreachableError:
                await self._clock.sleep(LOOK_EVERY_S)

    async def look(self, keys: set[bytes] | None = None) -> None:
        """Tell what is new of these jobs, or of all that are followed."""
        wanted = list(self._followers) if keys is None else list(keys)
        self._news -= set(wanted)
        for start in range(0, len(wanted), READ_MOST):
            for row in await self._read(wanted[start : start + READ_MOST]):
                for follower in list(self._followers.get(row["id"], ())):
                    if follower.full:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(follower.room(), GRACE_S)
                    follower.tell(row)
                self._settle(row)

    def _settle(self, row: Row) -> None:
        """A job of which nothing more can come is no longer looked at; its followers keep what they were told."""
        if is_over(row):
            self._followers.pop(row["id"], None)

    async def _read(self, keys: list[bytes]) -> list[Row]:
        if not keys:
            return []

        def read(tx: Tx) -> list[Row]:
            found = (tx.one("live_row", id=key) for key in keys)
            return [row for row in found if row is not None]

        return await self._store.read(read)

    async def stop(self) -> None:
        await super().stop()
        with contextlib.suppress(UnreachableError):
            await self._deafen()
        for followers in list(self._followers.values()):
            for follower in followers:
                follower._put(None)


class _Subject(msgspec.Struct):
    subject: str
