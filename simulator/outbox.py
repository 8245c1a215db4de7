"""The outbox: the only way by which events and work leave the store, and the relay that publishes them in order.

A row is written in the transaction of the change it tells of and gets a dense number there. The relay publishes each
stream in that order and lets the broker check every event against its predecessor's sequence in the stream
(`Nats-Expected-Last-Sequence`). So a second relay is refused, and after a crash between publish and mark the
stream's own last message says where to go on: nothing is lost or repeated, inside or outside any duplicate window.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

import msgspec

from simulator.broker.port import Broker, Outgoing
from simulator.lease import Lease
from simulator.policy.yielding import LOOK_S, Yielding
from simulator.service import Looped
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import Fenced, StoreUnavailable, UnreachableError
from zjops.domain.events import (
    EVENTS,
    OPS,
    OUTBOX_WAKE,
    WORK,
    EventType,
    JobEvent,
    OpsEvent,
    Work,
    envelope,
    work_subject,
)
from zjops.domain.ids import Ids
from zjops.domain.jobs import band

CHAINED = (EVENTS, OPS)
OUTBOX_HEADER = "Zjops-Outbox"
TRACE_HEADER = "traceparent"
STREAMS = (EVENTS, WORK, OPS)
"""In the order in which they are published."""
MOST = 1_500
"""How many rows are published at once."""
BUSY = 16
"""After so many rows at once the next ones are waited for a little: fewer and larger parts cost less."""
PURGE_EVERY_S = 60.0
PURGE_MOST, PURGE_ON_S = 2_000, 0.1
"""So many rows are purged in a transaction, for which submissions wait, and the next ones so much later: more than come
at 4,000 jobs a second, of five rows each."""


OutboxRow = tuple[str, str, str, bytes, str | None, int]
"""One message that is to leave, in the order of `outbox_put`'s places: stream, subject, id, payload, trace, time."""


def event_row(event_id: str, kind: EventType, data: JobEvent, now: int, traceparent: str | None) -> OutboxRow:
    """The outbox row that tells of a job's change."""
    payload = envelope(event_id, data.tenant, kind.cloud_type, data.job_id, now, data, traceparent)
    return EVENTS, kind.subject, event_id, payload, traceparent, now


def work_row(message_id: str, work: Work, priority: int, now: int) -> OutboxRow:
    """The outbox row that dispatches a job to the workers."""
    subject = work_subject(work.job_type, band(priority))
    return WORK, subject, message_id, msgspec.json.encode(work), work.traceparent, now


def enqueue_event(tx: Tx, ids: Ids, kind: EventType, data: JobEvent, now: int, traceparent: str | None) -> None:
    """Tell of a job's change, inside the transaction that makes it."""
    tx.many("outbox_put", [event_row(ids.name(), kind, data, now, traceparent)])


def enqueue_ops(tx: Tx, ids: Ids, clock: Clock, event: OpsEvent, traceparent: str | None = None) -> None:
    """Tell of an operator's or a policy's act, inside the transaction that makes it."""
    event_id, now = ids.name(), clock.now_ms()
    tenant, subject = event.tenant or "platform", f"ops.{event.kind}"
    cloud_type = f"ai.zama.jobs.ops.{event.kind}.v1"
    payload = envelope(event_id, tenant, cloud_type, tenant, now, event, traceparent)
    tx.many("outbox_put", [(OPS, subject, event_id, payload, None, now)])


def enqueue_work(tx: Tx, ids: Ids, work: Work, priority: int, now: int) -> None:
    """Dispatch a job to the workers, inside the transaction that decides it."""
    tx.many("outbox_put", [work_row(ids.name(), work, priority, now)])


class Bell(Looped):
    """Wakes the relay of another process: many wishes in a moment are one signal."""

    def __init__(self, broker: Broker) -> None:
        super().__init__("outbox bell")
        self._broker = broker
        self._rung = asyncio.Event()

    def wake(self) -> None:
        """Say that rows were written."""
        self._rung.set()

    async def _run(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            await self._broker.signal(OUTBOX_WAKE)


class Relay(Looped):
    """Publishes the outbox, one relay at a time."""

    def __init__(
        self, store: Store, broker: Broker, clock: Clock, telemetry: Telemetry, lease: Lease, *,
        poll_s: float, keep_s: int, mark_s: float = 0.0, linger_s: float = 0.0,
        used_s: Callable[[], float] | None = None, crowded: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        """`mark_s` is how long what has left may stay unmarked, and longer only while way is given.

        `used_s` is the processor time of the loop's thread where that has other work, which is more urgent, and
        `crowded` says that much of it waits.
        """
        super().__init__("outbox relay")
        self._store, self._broker, self._clock, self._telemetry = store, broker, clock, telemetry
        self._lease, self._poll_s, self._keep_s, self._mark_s = lease, poll_s, keep_s, mark_s
        self._linger_s, self._used_s, self._crowded, self._yielding = linger_s, used_s, crowded, Yielding()
        self._wake = asyncio.Event()
        self._cursors: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._unmarked = 1
        self._marked_at = float("-inf")
        self._purged_at = float("-inf")
        self._more = False

    def wake(self) -> None:
        """Say that rows were written, so that the relay need not find out by itself."""
        self._wake.set()

    async def start(self) -> None:
        if self._task is None:
            await self._broker.listen(OUTBOX_WAKE, self._woken)
            await super().start()

    async def stop(self) -> None:
        if self._task is not None:
            await super().stop()
            with contextlib.suppress(UnreachableError, Fenced):
                await self._mark_left()
                await self._lease.release()

    async def _woken(self, subject: str, data: bytes) -> None:
        self.wake()

    async def _run(self) -> None:
        while True:
            try:
                if not await self._lease.hold():
                    self._cursors.clear()
                    await self._clock.sleep(self._poll_s)
                elif self._gives_way():
                    await self._clock.sleep(LOOK_S)
                else:
                    if await self._publish_next() >= BUSY and not self._more and self._linger_s:
                        await self._clock.sleep(self._linger_s)
                    if self._clock.monotonic() >= self._marked_at + self._mark_s:
                        await self._mark_left()
                    if not self._more:
                        # Whatever was written meanwhile has rung the bell.
                        await self._idle()
            except Fenced:
                self._cursors.clear()
            except UnreachableError as exc:
                self._telemetry.log("warning", "relay waits", reason=str(exc))
                self._forget_places(exc)
                await self._clock.sleep(self._poll_s)

    def _gives_way(self) -> bool:
        """Whether what is more urgent in this process needs all of its time now."""
        if self._used_s is None:
            return False
        before = self._yielding.gives_way
        gives_way = self._yielding.look(self._used_s(), self._clock.monotonic(), crowded=self._crowded())
        if gives_way != before:
            self._telemetry.log("info", "relay gives way to submissions" if gives_way else "relay goes on")
        return gives_way

    def _forget_places(self, exc: UnreachableError) -> None:
        """Ask the streams anew where to go on. Where only the store was away, work has left as far as it has.

        From its mark on it would leave again, and run again, once its ids are forgotten.
        """
        kept = {stream: n for stream, n in self._cursors.items() if stream == WORK}
        self._cursors = kept if isinstance(exc, StoreUnavailable) else {}

    async def _idle(self) -> None:
        await self._purge()
        wait_s = min(self._poll_s, max(0.0, self._purged_at + PURGE_EVERY_S - self._clock.monotonic()))
        if self._unmarked <= min(self._cursors.values()):
            wait_s = min(wait_s, max(0.0, self._marked_at + self._mark_s - self._clock.monotonic()))
        # Not wait_for: woken and cancelled at once, it forgets the cancellation, and a stop waits without end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    async def publish_once(self) -> int:
        """Publish what waits, a part at a time, and mark it; returns how many rows."""
        published = await self._publish_next()
        await self._mark_left()
        return published

    async def _publish_next(self) -> int:
        """Publish the next part of what waits. Events go before the work they tell of."""
        if len(self._cursors) < len(STREAMS):
            for stream in STREAMS:
                if stream not in self._cursors:
                    await self._resume(stream)
            self._unmarked = await self._store.read(self._marked) + 1
            # Another relay may have been at work since this one knew the place.
            self._cursors[WORK] = max(self._cursors[WORK], self._unmarked - 1)
        after = min(self._cursors.values())
        rows = await self._store.read(lambda tx: tx.all("outbox_next", after=after, most=MOST))
        self._more = len(rows) == MOST
        if not rows:
            return 0
        published = 0
        for stream in STREAMS:
            part = [row for row in rows if row["stream"] == stream and row["n"] > self._cursors[stream]]
            if part:
                await self._publish(stream, part)
                published += len(part)
        # A stream may be further than this part, which began where another one was.
        last: int = rows[-1]["n"]
        self._cursors = {stream: max(cursor, last) for stream, cursor in self._cursors.items()}
        return published

    async def _mark_left(self) -> None:
        """Mark all that has left of every stream in one transaction.

        Seldom, because each is an fsync for which submissions wait. What a crash leaves unmarked is known by the
        streams that are chained; work goes out again, which it may.
        """
        if len(self._cursors) < len(STREAMS) or self._unmarked > (left := min(self._cursors.values())):
            # One whose place is not known yet may be behind all others.
            return
        await self._store.transact(lambda tx: self._mark(tx, left))
        self._unmarked, self._marked_at = left + 1, self._clock.monotonic()

    async def _resume(self, stream: str) -> None:
        """Find where to go on: behind the row that the stream's last message came from."""
        if stream == WORK:
            sequence, find = 0, self._marked
        else:
            sequence, msg_id = await self._broker.last(stream)
            find = partial(self._row_of, stream=stream, sequence=sequence, msg_id=msg_id)
        self._sequences[stream] = sequence
        self._cursors[stream] = await self._store.read(lambda tx: self._before_next(tx, stream, find(tx)))

    @staticmethod
    def _marked(tx: Tx) -> int:
        """Up to where the marks say that all has left. It is where work goes on, which may repeat."""
        row = tx.one("outbox_marked")
        assert row is not None
        return int(row["n"])

    @staticmethod
    def _row_of(tx: Tx, stream: str, sequence: int, msg_id: str | None) -> int:
        """What the stream says, and no mark: it may have lost its end with the server's machine."""
        if sequence == 0:
            return 0
        found = tx.one("outbox_find", stream=stream, msg_id=msg_id)
        # A last message whose row was purged is older than every row that is left.
        return int(found["n"]) if found else 0

    @staticmethod
    def _before_next(tx: Tx, stream: str, done: int) -> int:
        """The place before a stream's next row: what others have filled since a quiet one spoke is not read again."""
        row = tx.one("outbox_following", stream=stream, after=done)
        assert row is not None
        return int(row["n"]) - 1

    async def _publish(self, stream: str, rows: list[Row]) -> None:
        messages = [Outgoing(row["subject"], row["payload"], row["msg_id"], self._headers(row)) for row in rows]
        expected = self._sequences[stream] if stream in CHAINED else None
        last = await self._broker.publish(stream, messages, expected_last=expected)
        if stream in CHAINED:
            self._sequences[stream] = last
        self._cursors[stream] = rows[-1]["n"]
        self._telemetry.count("outbox_published_total", len(rows), stream=stream)

    @staticmethod
    def _headers(row: Row) -> dict[str, str]:
        if row["traceparent"]:
            return {OUTBOX_HEADER: str(row["n"]), TRACE_HEADER: row["traceparent"]}
        return {OUTBOX_HEADER: str(row["n"])}

    def _mark(self, tx: Tx, left: int) -> None:
        self._lease.guard(tx)
        tx.run("outbox_mark", upto=left, now=self._clock.now_ms())

    async def _purge(self) -> None:
        now = self._clock.monotonic()
        if now - self._purged_at >= PURGE_EVERY_S:
            before = self._clock.now_ms() - self._keep_s * 1000
            purged = await self._store.transact(lambda tx: self._forget(tx, before))
            self._purged_at = now if purged < PURGE_MOST else now - PURGE_EVERY_S + PURGE_ON_S

    @staticmethod
    def _forget(tx: Tx, before: int) -> int:
        purged = tx.run("outbox_purge", before=before, most=PURGE_MOST)
        tx.run("outbox_marks_purge", before=before)
        return purged
