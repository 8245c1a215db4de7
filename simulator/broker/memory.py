"""JetStream's semantics in memory, for virtual time: same order, same redelivery, same refusals, no threads."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Sequence

from simulator.broker.port import Callback, Message, Outgoing, Unlisten
from zjops.domain.clock import Clock
from zjops.domain.errors import BrokerUnavailable, Fenced
from zjops.domain.events import DurableSpec, StreamSpec


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern, `*` standing for one part."""
    wanted, parts = pattern.split("."), subject.split(".")
    return len(wanted) == len(parts) and all(w in ("*", p) for w, p in zip(wanted, parts, strict=True))


class _Stored:
    """One message of a stream."""

    def __init__(self, sequence: int, out: Outgoing, at_ms: int) -> None:
        self.sequence, self.out, self.at_ms = sequence, out, at_ms


class _Stream:
    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.messages: dict[int, _Stored] = {}
        self.last = 0
        self.last_id: str | None = None
        self.seen: dict[str, tuple[int, int]] = {}


class _Durable:
    def __init__(self, spec: DurableSpec) -> None:
        self.spec = spec
        self.ready: deque[int] = deque()
        self.delivered: dict[int, int] = {}
        self.deadlines: dict[int, float] = {}
        self.timers: list[tuple[float, int]] = []
        self.arrived = asyncio.Event()

    def due(self, now: float) -> None:
        """Put back what was claimed and not acknowledged in time."""
        while self.timers and self.timers[0][0] <= now:
            deadline, sequence = heapq.heappop(self.timers)
            if self.deadlines.get(sequence) == deadline:
                del self.deadlines[sequence]
                self.ready.append(sequence)

    def claim(self, sequence: int, until: float) -> None:
        self.deadlines[sequence] = until
        heapq.heappush(self.timers, (until, sequence))


class _MemoryMessage:
    """A delivery; a late acknowledgement of an older delivery counts, as it does on the real server."""

    def __init__(self, broker: MemoryBroker, durable: _Durable, stored: _Stored, delivered: int) -> None:
        self._broker, self._durable, self._stored = broker, durable, stored
        self.delivered = delivered
        self.subject, self.data = stored.out.subject, stored.out.data
        self.headers = stored.out.headers or {}
        self.sequence, self.timestamp_ms = stored.sequence, stored.at_ms

    async def ack(self) -> None:
        self._broker.acknowledge(self._durable, self.sequence)

    async def nak(self, delay_s: float = 0.0) -> None:
        self._broker.postpone(self._durable, self.sequence, delay_s)

    async def in_progress(self) -> None:
        self._broker.postpone(self._durable, self.sequence, self._durable.spec.ack_wait_s)


class MemoryBroker:
    """The Broker port in one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._durables: dict[str, _Durable] = {}
        self._listeners: list[tuple[str, Callback]] = []
        self._started = False

    async def start(self) -> None:
        self._started = True

    async def stop(self) -> None:
        self._started = False

    def _check(self) -> None:
        if not self._started:
            raise BrokerUnavailable("the broker is not started")

    async def ensure(self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec]) -> None:
        self._check()
        for stream in streams:
            self._streams.setdefault(stream.name, _Stream(stream))
        for durable in durables:
            if durable.name not in self._durables:
                self._durables[durable.name] = made = _Durable(durable)
                kept = self._streams[durable.stream].messages
                made.ready.extend(n for n, m in kept.items() if matches(durable.filter, m.out.subject))

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        self._check()
        target = self._streams[stream]
        for offset, out in enumerate(messages):
            now = self._clock.now_ms()
            known = target.seen.get(out.msg_id) if out.msg_id else None
            if known and now - known[1] < target.spec.duplicate_window_s * 1000:
                continue
            if expected_last is not None and target.last != expected_last + offset:
                raise Fenced(target.last)
            self._store(target, out, now)
        return target.last

    def _store(self, stream: _Stream, out: Outgoing, now: int) -> None:
        stream.last += 1
        stream.last_id = out.msg_id
        stream.messages[stream.last] = _Stored(stream.last, out, now)
        if out.msg_id:
            stream.seen[out.msg_id] = (stream.last, now)
        for durable in self._durables.values():
            if durable.spec.stream == stream.spec.name and matches(durable.spec.filter, out.subject):
                durable.ready.append(stream.last)
                durable.arrived.set()

    async def last(self, stream: str) -> tuple[int, str | None]:
        self._check()
        target = self._streams[stream]
        return target.last, target.last_id if target.last in target.messages else None

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        self._check()
        source = self._durables[durable]
        until = self._clock.monotonic() + wait_s
        while not (taken := self._take(source, batch)):
            now = self._clock.monotonic()
            if now >= until:
                return []
            next_due = source.timers[0][0] if source.timers else until
            source.arrived.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(source.arrived.wait(), max(0.001, min(until, next_due) - now))
        return taken

    def _take(self, durable: _Durable, batch: int) -> list[Message]:
        now = self._clock.monotonic()
        durable.due(now)
        stream, taken = self._streams[durable.spec.stream], list[Message]()
        while durable.ready and len(taken) < batch and len(durable.deadlines) < durable.spec.max_ack_pending:
            sequence = durable.ready.popleft()
            stored = stream.messages.get(sequence)
            if stored is not None:
                count = durable.delivered[sequence] = durable.delivered.get(sequence, 0) + 1
                durable.claim(sequence, now + durable.spec.ack_wait_s)
                taken.append(_MemoryMessage(self, durable, stored, count))
        return taken

    def acknowledge(self, durable: _Durable, sequence: int) -> None:
        """Forget a message for this durable; a work queue deletes it."""
        self._check()
        durable.deadlines.pop(sequence, None)
        durable.delivered.pop(sequence, None)
        with contextlib.suppress(ValueError):
            durable.ready.remove(sequence)
        stream = self._streams[durable.spec.stream]
        if stream.spec.retention == "workqueue":
            stream.messages.pop(sequence, None)

    def postpone(self, durable: _Durable, sequence: int, delay_s: float) -> None:
        """Move the moment at which a claimed message comes back."""
        self._check()
        if sequence in durable.deadlines:
            durable.claim(sequence, self._clock.monotonic() + delay_s)
            durable.arrived.set()

    async def pending(self, durable: str) -> int:
        self._check()
        source = self._durables[durable]
        return len(source.ready) + len(source.deadlines)

    async def signal(self, subject: str, data: bytes = b"") -> None:
        self._check()
        for pattern, callback in list(self._listeners):
            if matches(pattern, subject):
                await callback(subject, data)

    async def listen(self, subject: str, callback: Callback) -> Unlisten:
        self._check()
        entry = (subject, callback)
        self._listeners.append(entry)

        async def unlisten() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(entry)

        return unlisten
