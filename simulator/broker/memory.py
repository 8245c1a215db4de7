"""JetStream's semantics in memory, for virtual time: same order, same redelivery, same refusals, no threads."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections import deque
from collections.abc import Sequence
from itertools import islice

from simulator.broker.port import Callback, Logged, Message, Outgoing, Unlisten, matches
from zjops.domain.clock import Clock
from zjops.domain.errors import BrokerUnavailable, Fenced, UsageError
from zjops.domain.events import DurableSpec, StreamSpec

_TICK_S = 0.001
"""Timers closer than this count as due, so that a rounded virtual time cannot stand just before one."""
_log = logging.getLogger(__name__)


class _Stored:
    """One message of a stream; `owed` counts the durables that have not acknowledged it."""

    __slots__ = ("at_ms", "out", "owed", "sequence")

    def __init__(self, sequence: int, out: Outgoing, at_ms: int) -> None:
        self.sequence, self.out, self.at_ms, self.owed = sequence, out, at_ms, 0


class _Stream:
    """What is kept, and the ids of the duplicate window."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.messages: dict[int, _Stored] = {}
        self.first, self.last = 1, 0
        self._seen: dict[str, int] = {}
        self._window: deque[tuple[int, str]] = deque()

    def is_duplicate(self, msg_id: str | None) -> bool:
        return msg_id is not None and msg_id in self._seen

    def add(self, out: Outgoing, now_ms: int) -> _Stored:
        self.last += 1
        stored = self.messages[self.last] = _Stored(self.last, out, now_ms)
        if out.msg_id:
            self._seen[out.msg_id] = self.last
            self._window.append((now_ms, out.msg_id))
        return stored

    def expire(self, now_ms: int) -> None:
        """Forget ids outside the duplicate window and messages past their age."""
        while self._window and now_ms - self._window[0][0] >= self.spec.duplicate_window_s * 1000:
            del self._seen[self._window.popleft()[1]]
        if not self.spec.max_age_s:
            return
        while self.first <= self.last:
            stored = self.messages.get(self.first)
            if stored is not None and now_ms - stored.at_ms < self.spec.max_age_s * 1000:
                return
            self.messages.pop(self.first, None)
            self.first += 1


class _Durable:
    """What a durable has not delivered, what it has claimed out, and what comes back."""

    def __init__(self, spec: DurableSpec, stream: _Stream) -> None:
        self.spec, self.stream = spec, stream
        self.ready: deque[int] = deque()
        self.again: deque[int] = deque()
        self.delivered: dict[int, int] = {}
        self.deadlines: dict[int, float] = {}
        self.timers: list[tuple[float, int]] = []
        self.waiting: list[asyncio.Future[None]] = []

    def offer(self, stored: _Stored) -> None:
        if matches(self.spec.filter, stored.out.subject):
            stored.owed += 1
            self.ready.append(stored.sequence)
            self.wake()

    def wake(self) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)

    def claim(self, sequence: int, until: float) -> None:
        self.deadlines[sequence] = until
        heapq.heappush(self.timers, (until, sequence))

    def due(self, now: float) -> None:
        """Put back what was claimed and not acknowledged in time."""
        while self.timers and self.timers[0][0] <= now + _TICK_S / 2:
            deadline, sequence = heapq.heappop(self.timers)
            if self.deadlines.get(sequence) == deadline:
                del self.deadlines[sequence]
                self.again.append(sequence)

    def next(self) -> _Stored | None:
        """The next message to deliver: first what comes back, then new ones while few enough are claimed."""
        while self.again:
            if stored := self.stream.messages.get(self.again.popleft()):
                return stored
        while self.ready and len(self.deadlines) < self.spec.max_ack_pending:
            if stored := self.stream.messages.get(self.ready.popleft()):
                return stored
        return None

    def acknowledge(self, sequence: int) -> None:
        if self.deadlines.pop(sequence, None) is None:
            with contextlib.suppress(ValueError):
                self.again.remove(sequence)
        stored = self.stream.messages.get(sequence)
        if self.delivered.pop(sequence, None) is None or stored is None:
            return
        stored.owed -= 1
        retention = self.stream.spec.retention
        if retention == "workqueue" or (retention == "interest" and stored.owed <= 0):
            del self.stream.messages[sequence]

    def count(self) -> int:
        kept = self.stream.messages
        return sum(n in kept for part in (self.ready, self.again, self.deadlines) for n in part)


def _headers(out: Outgoing) -> dict[str, str]:
    return {**(out.headers or {})} | ({"Nats-Msg-Id": out.msg_id} if out.msg_id else {})


class _MemoryMessage:
    """A delivery; a late acknowledgement of an older delivery counts, as it does on the real server."""

    def __init__(self, broker: MemoryBroker, durable: _Durable, stored: _Stored, delivered: int) -> None:
        self._broker, self._durable = broker, durable
        self.delivered = delivered
        self.subject, self.data = stored.out.subject, stored.out.data
        self.headers = _headers(stored.out)
        self.sequence, self.timestamp_ms = stored.sequence, stored.at_ms

    async def ack(self) -> None:
        self._broker.check()
        self._durable.acknowledge(self.sequence)
        self._durable.wake()

    async def nak(self, delay_s: float = 0.0) -> None:
        self._broker.postpone(self._durable, self.sequence, delay_s)

    async def in_progress(self) -> None:
        self._broker.postpone(self._durable, self.sequence, self._durable.spec.ack_wait_s)


class _Server:
    """What outlives a broker object: the streams, the durables, and who listens."""

    def __init__(self) -> None:
        self.streams: dict[str, _Stream] = {}
        self.durables: dict[str, _Durable] = {}
        self.listeners: dict[int, tuple[MemoryBroker, str, Callback]] = {}
        self.numbers = 0


class MemoryBroker:
    """The Broker port in one process; `peer` shares its streams, as two clients share one server."""

    def __init__(self, clock: Clock, peer: MemoryBroker | None = None) -> None:
        self._clock = clock
        self._server: _Server = peer._server if peer is not None else _Server()
        self._calls: dict[asyncio.Task[None], None] = {}
        self._started = False

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
            self._server.streams.setdefault(stream.name, _Stream(stream)).spec = stream
        for durable in durables:
            known = self._server.durables.get(durable.name)
            if known is not None:
                known.spec = durable
                continue
            made = self._server.durables[durable.name] = _Durable(durable, self._stream(durable.stream))
            for stored in made.stream.messages.values():
                made.offer(stored)

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        target = self._stream(stream)
        if expected_last is not None and not all(message.msg_id for message in messages):
            raise UsageError("a chained message needs an id")
        for offset, out in enumerate(messages):
            duplicate = target.is_duplicate(out.msg_id)
            if expected_last is not None and (target.last != expected_last + offset or duplicate):
                raise Fenced(target.last)
            if not duplicate:
                self._store(target, out)
        return target.last

    def _store(self, stream: _Stream, out: Outgoing) -> None:
        stored = stream.add(out, self._clock.now_ms())
        for durable in self._server.durables.values():
            if durable.stream is stream:
                durable.offer(stored)
        if stream.spec.retention == "interest" and not stored.owed:
            del stream.messages[stored.sequence]

    async def last(self, stream: str) -> tuple[int, str | None]:
        target = self._stream(stream)
        stored = target.messages.get(target.last)
        return target.last, stored.out.msg_id if stored is not None else None

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        source = self._durable(durable)
        until = self._clock.monotonic() + wait_s
        while not (taken := self._take(source, batch)):
            now = self._clock.monotonic()
            if now >= until - _TICK_S / 2:
                return []
            next_due = source.timers[0][0] if source.timers else until
            await self._woken(source, max(_TICK_S, min(until, next_due) - now))
            source = self._durable(durable)
        return taken

    async def read(self, stream: str, most: int, *, first: int = 1, since_ms: int | None = None) -> list[Logged]:
        def wanted(stored: _Stored) -> bool:
            return stored.sequence >= first if since_ms is None else stored.at_ms >= since_ms

        kept = (stored for stored in self._stream(stream).messages.values() if wanted(stored))
        return [
            Logged(stored.sequence, stored.out.subject, stored.out.data, _headers(stored.out), stored.at_ms)
            for stored in islice(kept, most)
        ]

    @staticmethod
    async def _woken(durable: _Durable, within_s: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        durable.waiting.append(waiter)
        try:
            await asyncio.wait((waiter,), timeout=within_s)
        finally:
            durable.waiting.remove(waiter)

    def _take(self, durable: _Durable, batch: int) -> list[Message]:
        now, taken = self._clock.monotonic(), list[Message]()
        durable.due(now)
        while len(taken) < batch and (stored := durable.next()) is not None:
            count = durable.delivered[stored.sequence] = durable.delivered.get(stored.sequence, 0) + 1
            durable.claim(stored.sequence, now + durable.spec.ack_wait_s)
            taken.append(_MemoryMessage(self, durable, stored, count))
        return taken

    def postpone(self, durable: _Durable, sequence: int, delay_s: float) -> None:
        """Move the moment at which a claimed message comes back."""
        self.check()
        if sequence in durable.deadlines:
            durable.claim(sequence, self._clock.monotonic() + delay_s)
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

    def _stream(self, name: str) -> _Stream:
        self.check()
        if name not in self._server.streams:
            raise BrokerUnavailable(f"there is no stream {name}")
        stream = self._server.streams[name]
        stream.expire(self._clock.now_ms())
        return stream

    def _durable(self, name: str) -> _Durable:
        self.check()
        if name not in self._server.durables:
            raise UsageError(f"there is no durable {name}")
        durable = self._server.durables[name]
        durable.stream.expire(self._clock.now_ms())
        return durable
