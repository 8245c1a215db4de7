"""JetStream's semantics in memory, for virtual time: same order, same redelivery, same refusals, no threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice

from simulator.broker.kept import TICK_S, Durable, Stored, Stream, end_wait
from simulator.broker.port import Callback, Logged, Message, Outgoing, Unlisten, matches, no_durable
from zjops.domain.clock import Clock
from zjops.domain.errors import BrokerUnavailable, Fenced, UsageError
from zjops.domain.events import DurableSpec, StreamSpec

_log = logging.getLogger(__name__)


def _headers(out: Outgoing) -> dict[str, str]:
    return {**(out.headers or {})} | ({"Nats-Msg-Id": out.msg_id} if out.msg_id else {})


def _logged(stored: Stored) -> Logged:
    out = stored.out
    return Logged(stored.sequence, out.subject, out.data, _headers(out), stored.at_ms)


class _MemoryMessage:
    """A delivery; a late acknowledgement of an older delivery counts, as it does on the real server."""

    __slots__ = ("_broker", "_durable", "_out", "data", "delivered", "sequence", "subject", "timestamp_ms")

    def __init__(self, broker: MemoryBroker, durable: Durable, stored: Stored, delivered: int) -> None:
        self._broker, self._durable, self._out = broker, durable, stored.out
        self.delivered = delivered
        self.subject, self.data = stored.out.subject, stored.out.data
        self.sequence, self.timestamp_ms = stored.sequence, stored.at_ms

    @property
    def headers(self) -> dict[str, str]:
        return _headers(self._out)

    async def ack(self) -> None:
        self._broker.check()
        durable = self._durable
        if durable.waiting and durable.full:
            durable.acknowledge(self.sequence)
            durable.wake()
        else:
            durable.acknowledge(self.sequence)

    async def nak(self, delay_s: float = 0.0) -> None:
        self._broker.postpone(self._durable, self.sequence, delay_s)

    async def in_progress(self) -> None:
        self._broker.postpone(self._durable, self.sequence, self._durable.spec.ack_wait_s)


class _Server:
    """What outlives a broker object: the streams, the durables, and who listens."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.durables: dict[str, Durable] = {}
        self.listeners: dict[int, tuple[MemoryBroker, str, Callback]] = {}
        self.numbers = 0


class MemoryBroker:
    """The Broker port in one process; `peer` shares its streams, as two clients share one server.

    Without `keeps`, what every durable has acknowledged or passed is forgotten at once, however long a stream says to
    keep it.
    """

    def __init__(self, clock: Clock, peer: MemoryBroker | None = None, *, keeps: bool = True) -> None:
        self._clock, self._keeps = clock, keeps
        self._server: _Server = peer._server if peer is not None else _Server()
        self._calls: dict[asyncio.Task[None], None] = {}
        self._started = False

    def beside(self) -> MemoryBroker:
        """Another client of the same server."""
        return MemoryBroker(self._clock, self, keeps=self._keeps)

    async def start(self) -> None:
        self._started = True

    async def stop(self) -> None:
        self._started = False
        listeners = self._server.listeners
        for number in [n for n, (owner, _, _) in listeners.items() if owner is self]:
            del listeners[number]
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def check(self) -> None:
        """Raise `BrokerUnavailable` unless started."""
        if not self._started:
            raise BrokerUnavailable("the broker is not started")

    async def ensure(self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec]) -> None:
        self.check()
        for stream in streams:
            made = self._server.streams.setdefault(stream.name, Stream(stream))
            made.spec, made.keeps = stream, self._keeps
        for durable in durables:
            known = self._server.durables.get(durable.name)
            if known is not None:
                known.spec = durable
                known.stream.hearers.clear()
                continue
            new = self._server.durables[durable.name] = Durable(durable, self._stream(durable.stream))
            new.stream.hearers.clear()
            for stored in new.stream.messages.values():
                if matches(durable.filter, stored.out.subject):
                    new.offer(stored)

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        target = self._stream(stream)
        if expected_last is not None and not all(message.msg_id for message in messages):
            raise UsageError("a chained message needs an id")
        now_ms, subjects = self._clock.now_ms(), target.hearers
        for offset, out in enumerate(messages):
            duplicate = target.has_seen(out.msg_id)
            if expected_last is not None and (target.last != expected_last + offset or duplicate):
                raise Fenced(target.last)
            if out.subject not in subjects:
                subjects[out.subject] = self._hearers(target, out.subject)
            if not duplicate:
                target.add(out, now_ms)
        return target.last

    def _hearers(self, stream: Stream, subject: str) -> list[Durable]:
        own = (durable for durable in self._server.durables.values() if durable.stream is stream)
        return [durable for durable in own if matches(durable.spec.filter, subject)]

    async def last(self, stream: str) -> tuple[int, str | None]:
        target = self._stream(stream)
        stored = target.messages.get(target.last)
        return target.last, stored.out.msg_id if stored is not None else None

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        source = self._durable(durable, followed=False)
        until = self._clock.monotonic() + wait_s
        while not (taken := self._take(source, batch)):
            if not await self._more(source, until):
                return []
        return taken

    async def follow(self, durable: str, after: int, batch: int, wait_s: float) -> list[Logged]:
        source = self._durable(durable, followed=True)
        until = self._clock.monotonic() + wait_s
        while not (found := source.behind(after, batch)):
            if not await self._more(source, until):
                return []
        return [_logged(stored) for stored in found]

    async def _more(self, source: Durable, until: float) -> bool:
        """Wait until there may be something for a durable; False when the time is up."""
        now = self._clock.monotonic()
        if now >= until - TICK_S / 2:
            return False
        await self._woken(source, max(TICK_S, min(until, source.next_due()) - now))
        self.check()
        source.stream.expire(self._clock.now_ms())
        return True

    async def read(self, stream: str, most: int, *, first: int = 1, since_ms: int | None = None) -> list[Logged]:
        def wanted(stored: Stored) -> bool:
            return stored.sequence >= first if since_ms is None else stored.at_ms >= since_ms

        kept = (stored for stored in self._stream(stream).messages.values() if wanted(stored))
        return [_logged(stored) for stored in islice(kept, most)]

    @staticmethod
    async def _woken(durable: Durable, within_s: float) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        durable.waiting.append(waiter)
        # The time that ends a wait ends it as a message does: nothing is raised, and nothing is told apart.
        timer = loop.call_later(within_s, end_wait, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            durable.waiting.remove(waiter)

    def _take(self, durable: Durable, batch: int) -> list[Message]:
        now = self._clock.monotonic()
        durable.due(now)
        until = now + durable.spec.ack_wait_s
        return [
            _MemoryMessage(self, durable, stored, durable.deliver(stored.sequence, until))
            for stored in durable.take(batch)
        ]

    def postpone(self, durable: Durable, sequence: int, delay_s: float) -> None:
        """Move the moment at which a claimed message comes back."""
        self.check()
        if sequence in durable.deadlines:
            until, former = self._clock.monotonic() + delay_s, durable.deadlines[sequence]
            durable.claim(sequence, until)
            if until < former:
                durable.wake()

    async def pending(self, durable: str) -> int:
        return self._durable(durable).count()

    async def signal(self, subject: str, data: bytes = b"") -> None:
        if self._started:
            for owner, pattern, callback in list(self._server.listeners.values()):
                if matches(pattern, subject):
                    owner._call(callback, subject, data)

    async def announce(self, messages: Sequence[Outgoing]) -> None:
        self.check()
        for message in messages:
            await self.signal(message.subject, message.data)

    def _call(self, callback: Callback, subject: str, data: bytes) -> None:
        """Hand a signal over without making its sender wait for it or answer for its errors."""

        async def call() -> None:
            try:
                await callback(subject, data)
            except Exception:
                _log.exception("a listener to %s failed", subject)

        task = asyncio.get_running_loop().create_task(call())
        self._calls[task] = None
        task.add_done_callback(lambda done: self._calls.pop(done, None))

    async def listen(self, subject: str, callback: Callback) -> Unlisten:
        self.check()
        server = self._server
        server.numbers += 1
        number = server.numbers
        server.listeners[number] = (self, subject, callback)

        async def unlisten() -> None:
            server.listeners.pop(number, None)

        return unlisten

    def _stream(self, name: str) -> Stream:
        self.check()
        if name not in self._server.streams:
            raise BrokerUnavailable(f"there is no stream {name}")
        stream = self._server.streams[name]
        stream.expire(self._clock.now_ms())
        return stream

    def _durable(self, name: str, *, followed: bool | None = None) -> Durable:
        self.check()
        durable = self._server.durables.get(name)
        if durable is None or followed not in (None, durable.spec.followed):
            raise no_durable(name, followed=followed)
        durable.stream.expire(self._clock.now_ms())
        return durable
