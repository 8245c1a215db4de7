"""Ports that fail on purpose, around real adapters: they keep their port's promises, and rest until a fault holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from simulator.blobs.port import Blobs
from simulator.broker.port import Broker, Callback, Logged, Message, Outgoing, Unlisten
from simulator.faults.switchboard import Switchboard
from simulator.store.port import Store, T, Work
from zjops.domain.clock import Clock
from zjops.domain.errors import BrokerUnavailable, StoreUnavailable
from zjops.domain.events import DurableSpec, StreamSpec

FULL = "database or disk is full; the disk is full; free some space and start again"


class OnDisk(Store, Protocol):
    """A store on a file, which may be kept from growing and from committing as quickly as it would."""

    before_commit: Callable[[], None] | None

    async def limit_pages(self, more: int | None) -> None:
        """Let the file grow by so many pages, None for as far as it likes."""
        ...


class FaultyStore:
    """A store that is slow or full."""

    def __init__(self, inner: OnDisk, faults: Switchboard, clock: Clock, pause: Callable[[float], None]) -> None:
        """`pause` is how the thread that commits waits, with the lock of the store held."""
        self._inner, self._faults, self._clock, self._pause = inner, faults, clock, pause
        self._changed = False
        """Whether the inner store is not as it was."""
        self._limited = False

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def transact(self, work: Work[T]) -> T:
        if self._faults.idle and not self._changed:
            return await self._inner.transact(work)
        await self._delay()
        await self._limit()
        self._slow()
        if self._faults.params("store.full") is not None:
            raise StoreUnavailable(f"store: {FULL}")
        return await self._inner.transact(work)

    async def read(self, work: Work[T]) -> T:
        if not self._faults.idle:
            await self._delay()
        return await self._inner.read(work)

    async def _delay(self) -> None:
        found = self._faults.held("store.delay")
        if found is not None:
            params = found.fault.params
            drawn = params["ms"] + found.chance.uniform(-1, 1) * params["jitter_ms"]
            await self._clock.sleep(max(0.0, drawn) / 1000)

    async def _limit(self) -> None:
        params = self._faults.params("store.page_limit")
        if params is not None and not self._limited:
            self._limited = True
            await self._inner.limit_pages(int(params["pages"]))
        elif params is None and self._limited:
            await self._inner.limit_pages(None)
            self._limited = False

    def _slow(self) -> None:
        """Where a slow disk is felt: by whoever waits for the commit, for its lock, and for the group's next one."""
        params = self._faults.params("store.slow_commit")
        self._inner.before_commit = None if params is None else partial(self._pause, params["ms"] / 1000)
        self._changed = self._limited or params is not None


class FaultyBlobs:
    """A folder of blobs on a full disk."""

    def __init__(self, inner: Blobs, faults: Switchboard) -> None:
        self._inner, self._faults = inner, faults

    async def put(self, data: bytes) -> str:
        if not self._faults.idle and self._faults.params("store.full") is not None:
            raise StoreUnavailable("blob folder: No space left on device; free space or choose another")
        return await self._inner.put(data)

    async def get(self, digest: str) -> bytes:
        return await self._inner.get(digest)

    async def exists(self, digest: str) -> bool:
        return await self._inner.exists(digest)


def full_log(write: Callable[..., Path], faults: Switchboard) -> Callable[..., Path]:
    """What writes a file of the log, on a disk that may be full."""

    def written(frame: Any, folder: Path, *args: Any, **kwargs: Any) -> Path:
        if not faults.idle and faults.params("log.full") is not None:
            raise StoreUnavailable(f"log folder {folder}: No space left on device; free some space")
        return write(frame, folder, *args, **kwargs)

    return written


class _LateMessage:
    """A message whose acknowledgement is lost on the way: it comes again after its durable's patience."""

    def __init__(self, inner: Message) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def ack(self) -> None:
        """Sent, and never heard of again."""


class FaultyBroker:
    """A broker whose acknowledgements get lost and whose messages come twice."""

    def __init__(self, inner: Broker, faults: Switchboard) -> None:
        self._inner, self._faults = inner, faults

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def ensure(self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec]) -> None:
        await self._inner.ensure(streams, durables)

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        last = await self._inner.publish(stream, messages, expected_last=expected_last)
        # Once a call, however many go in it: one acknowledgement that is lost fails them all.
        if self._faults.strikes("broker.lose_acks"):
            raise BrokerUnavailable("the broker does not answer: an acknowledgement was lost")
        return last

    async def last(self, stream: str) -> tuple[int, str | None]:
        return await self._inner.last(stream)

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        found = await self._inner.fetch(durable, batch, wait_s)
        if self._faults.idle:
            return found
        late = [self._late(message) for message in found]
        return late + [message for message in late if self._faults.strikes("broker.duplicate")]

    def _late(self, message: Message) -> Message:
        return _LateMessage(message) if self._faults.strikes("broker.late") else message

    async def follow(self, durable: str, after: int, batch: int, wait_s: float) -> list[Logged]:
        """Without acknowledgements none is lost, and what is told by sequence comes once."""
        return await self._inner.follow(durable, after, batch, wait_s)

    async def read(self, stream: str, most: int, *, first: int = 1, since_ms: int | None = None) -> list[Logged]:
        return await self._inner.read(stream, most, first=first, since_ms=since_ms)

    async def pending(self, durable: str) -> int:
        return await self._inner.pending(durable)

    async def signal(self, subject: str, data: bytes = b"") -> None:
        await self._inner.signal(subject, data)

    async def announce(self, messages: Sequence[Outgoing]) -> None:
        await self._inner.announce(messages)

    async def listen(self, subject: str, callback: Callback) -> Unlisten:
        return await self._inner.listen(subject, callback)
