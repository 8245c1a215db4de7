"""What JetStream keeps, in memory: streams with their messages, durables with their claims. No ports, no waiting.

Times are Unix ms for messages, seconds of a monotonic clock for claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from itertools import islice

from simulator.broker.port import Outgoing, matches
from zjops.domain.events import DurableSpec, StreamSpec

TICK_S = 0.001
"""Timers closer than this count as due, so that a rounded virtual time cannot stand just before one."""


class Stored:
    """One message of a stream; `owed` counts the durables that have not acknowledged it."""

    __slots__ = ("at_ms", "out", "owed", "sequence")

    def __init__(self, sequence: int, out: Outgoing, at_ms: int) -> None:
        self.sequence, self.out, self.at_ms, self.owed = sequence, out, at_ms, 0


class Stream:
    """What is kept, and the ids of the duplicate window."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec, self.keeps = spec, True
        self.hearers: dict[str, list[Durable]] = {}
        self.messages: dict[int, Stored] = {}
        self.first, self.last = spec.first, spec.first - 1
        self._seen: dict[str, int] = {}
        self._window: deque[tuple[int, str]] = deque()

    def has_seen(self, msg_id: str | None) -> bool:
        """Whether an id came within the duplicate window."""
        return msg_id is not None and msg_id in self._seen

    def add(self, out: Outgoing, now_ms: int) -> None:
        """Store a message and offer it to whoever hears its subject."""
        self._let_go()
        self.last = sequence = self.last + 1
        stored = self.messages[sequence] = Stored(sequence, out, now_ms)
        if out.msg_id:
            self._seen[out.msg_id] = sequence
            self._window.append((now_ms, out.msg_id))
        hearers = self.hearers[out.subject]
        for durable in hearers:
            durable.ready.append(sequence)
            if durable.waiting:
                durable.wake()
        stored.owed = len(hearers)
        if not hearers and self.spec.retention == "interest":
            del self.messages[sequence]

    def _let_go(self) -> None:
        """Forget the last message, if it stayed only because it was the last: now another one is."""
        if not self.keeps and self.spec.retention == "limits":
            former = self.messages.get(self.last)
            if former is not None and former.owed <= 0:
                del self.messages[self.last]

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


class Durable:
    """What a durable has not delivered, what it has claimed out, and what comes back.

    Of one that is followed `ready` is what comes after `passed`, the farthest place that anybody has named.
    """

    __slots__ = ("again", "claims", "deadlines", "delivered", "passed", "ready", "spec", "stream", "timers", "waiting")

    def __init__(self, spec: DurableSpec, stream: Stream) -> None:
        self.spec, self.stream = spec, stream
        self.ready: deque[int] = deque()
        self.again: deque[int] = deque()
        self.delivered: dict[int, int] = {}
        self.deadlines: dict[int, float] = {}
        self.claims: deque[tuple[float, int]] = deque()
        self.timers: list[tuple[float, int]] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.passed = 0

    def offer(self, stored: Stored) -> None:
        """Take a message whose subject the filter lets through."""
        stored.owed += 1
        self.ready.append(stored.sequence)
        self.wake()

    def wake(self) -> None:
        """Wake whoever waits for a message."""
        for waiter in self.waiting:
            end_wait(waiter)

    def claim(self, sequence: int, until: float) -> None:
        """Claim a message until then. Deliveries mostly end in their order: only what does not needs a heap."""
        self.deadlines[sequence] = until
        if not self.claims or until >= self.claims[-1][0]:
            self.claims.append((until, sequence))
        else:
            heapq.heappush(self.timers, (until, sequence))

    def due(self, now: float) -> None:
        """Put back what was claimed and not acknowledged in time."""
        while self.next_due() <= now + TICK_S / 2:
            timers = self.timers and (not self.claims or self.timers[0] < self.claims[0])
            sequence = heapq.heappop(self.timers)[1] if timers else self.claims.popleft()[1]
            del self.deadlines[sequence]
            self.again.append(sequence)

    def next_due(self) -> float:
        """When the first claim runs out; claims that were acknowledged or prolonged are passed over."""
        deadlines = self.deadlines
        while self.claims and deadlines.get(self.claims[0][1]) != self.claims[0][0]:
            self.claims.popleft()
        while self.timers and deadlines.get(self.timers[0][1]) != self.timers[0][0]:
            heapq.heappop(self.timers)
        first = self.claims[0][0] if self.claims else float("inf")
        return min(first, self.timers[0][0]) if self.timers else first

    @property
    def full(self) -> bool:
        """Whether so much is claimed that nothing more is delivered."""
        return len(self.deadlines) >= self.spec.max_ack_pending

    def take(self, most: int) -> list[Stored]:
        """What to deliver next: first what comes back, then new ones while few enough are claimed."""
        found: list[Stored] = []
        messages, again, ready = self.stream.messages, self.again, self.ready
        while again and len(found) < most:
            if stored := messages.get(again.popleft()):
                found.append(stored)
        most = min(most, self.spec.max_ack_pending - len(self.deadlines))
        while ready and len(found) < most:
            if stored := messages.get(ready.popleft()):
                found.append(stored)
        return found

    def deliver(self, sequence: int, until: float) -> int:
        """Claim a message until then; returns which delivery of it this is."""
        self.claim(sequence, until)
        count = self.delivered[sequence] = self.delivered.get(sequence, 0) + 1
        return count

    def acknowledge(self, sequence: int) -> None:
        """A delivery is done with, also one whose claim has run out."""
        if self.deadlines.pop(sequence, None) is None and self.again:
            with contextlib.suppress(ValueError):
                self.again.remove(sequence)
        stream = self.stream
        stored = stream.messages.get(sequence)
        if self.delivered.pop(sequence, None) is None or stored is None:
            return
        self._let_go(stored)

    def _let_go(self, stored: Stored) -> None:
        """This durable needs a message no more; when none does, the stream may forget it."""
        stored.owed -= 1
        stream, sequence = self.stream, stored.sequence
        retention = stream.spec.retention
        # What a publisher goes on from stays in any case.
        forgotten = stored.owed <= 0 and (retention == "interest" or (not stream.keeps and sequence < stream.last))
        if retention == "workqueue" or forgotten:
            del stream.messages[sequence]

    def behind(self, after: int, most: int) -> list[Stored]:
        """What comes after a sequence. Whoever names a place there is done with what comes before it."""
        messages, ready = self.stream.messages, self.ready
        if after < self.passed:
            later = (stored for n, stored in messages.items() if n > after)
            return list(islice((stored for stored in later if matches(self.spec.filter, stored.out.subject)), most))
        self.passed = after
        while ready and ready[0] <= after:
            if stored := messages.get(ready.popleft()):
                self._let_go(stored)
        return list(islice(filter(None, map(messages.get, ready)), most))

    def count(self) -> int:
        """Messages that are not done with."""
        kept = self.stream.messages
        return sum(n in kept for part in (self.ready, self.again, self.deadlines) for n in part)


def end_wait(waiter: asyncio.Future[None]) -> None:
    """Wake one that waits, unless it was woken already."""
    if not waiter.done():
        waiter.set_result(None)
