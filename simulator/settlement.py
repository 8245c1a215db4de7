"""Settlement: from the outcome of an attempt to the state of a job, its charge and the events that tell of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import Any, NamedTuple

import msgspec

from simulator.blobs.port import Blobs
from simulator.broker.port import Broker, Message
from simulator.intake.endings import cancel_now, settle_units
from simulator.job_events import job_event, work_message
from simulator.notifier.deliveries import enqueue_deliveries
from simulator.outbox import enqueue_event, enqueue_work
from simulator.policy.retry import Again, Ending, Stale, decide, is_current
from simulator.service import background
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import BlobMissing, UnreachableError
from zjops.domain.events import (
    OUTBOX_WAKE,
    RESULT_DONE,
    RESULT_PROGRESS,
    RESULT_STARTED,
    EventType,
    Outcome,
    Progress,
    Started,
    cancel_subject,
)
from zjops.domain.ids import Ids, job_id, job_key
from zjops.domain.jobs import ANCHORED, Charge, JobState, OutcomeKind
from zjops.domain.merkle import keccak256
from zjops.domain.webhooks import WebhookType

DURABLE = "settlement"
FETCH = 256
CANCEL_EVERY_S = 1.0
MOST = 200
UNREADABLE_S = 30.0

_EVENT_OF = {
    JobState.COMPLETED: EventType.COMPLETED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELLED: EventType.CANCELLED,
}

_WEBHOOK_OF = {
    JobState.COMPLETED: WebhookType.COMPLETED,
    JobState.FAILED: WebhookType.FAILED,
    JobState.CANCELLED: WebhookType.CANCELLED,
}


class Served(NamedTuple):
    """The bytes that the result endpoint will serve: inline or by blob, with their digest for the leaf."""

    inline: bytes | None
    sha256: str | None
    size: int
    keccak: bytes


class Settlement:
    """Consumes RESULTS and owns every state after acceptance except `confirmed`."""

    def __init__(
        self, store: Store, broker: Broker, blobs: Blobs, clock: Clock, ids: Ids, telemetry: Telemetry, *,
        retry_first_s: float, retry_most_s: float, poll_s: float, idle_s: float,
    ) -> None:  # fmt: skip
        self._store, self._broker, self._blobs = store, broker, blobs
        self._clock, self._ids, self._telemetry = clock, ids, telemetry
        self._first_s, self._most_s, self._poll_s, self._idle_s = retry_first_s, retry_most_s, poll_s, idle_s
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if not self._tasks:
            loops = (self._consume(), self._dispatch_retries(), self._repeat_cancels())
            self._tasks = [background(loop, "settlement") for loop in loops]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _patiently(self, step: Coroutine[Any, Any, int]) -> int:
        """Run a step; when store or broker are away, say so and wait."""
        try:
            return await step
        except UnreachableError as exc:
            self._telemetry.log("warning", "settlement waits", reason=str(exc))
            await self._clock.sleep(self._poll_s)
            return 0

    async def _consume(self) -> None:
        while True:
            await self._patiently(self.settle_waiting(self._idle_s))

    async def settle_waiting(self, wait_s: float = 0.0) -> int:
        """Settle what has come in; a message is acknowledged only after its commit. Returns how many."""
        messages = await self._broker.fetch(DURABLE, FETCH, wait_s)
        if messages:
            results = await asyncio.gather(*(self._handle(m) for m in messages), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            await self._broker.signal(OUTBOX_WAKE)
        return len(messages)

    async def _handle(self, message: Message) -> None:
        try:
            await self._apply(message)
        except (msgspec.MsgspecError, ValueError) as exc:
            # A version that understands it may yet be started: it stays until then.
            self._telemetry.log("error", "unreadable result", subject=message.subject, reason=str(exc))
            await message.nak(UNREADABLE_S)
            return
        except BlobMissing as exc:
            self._telemetry.log("error", "result blob missing", reason=str(exc))
            await message.nak(1.0)
            return
        await message.ack()

    async def _apply(self, message: Message) -> None:
        if message.subject == RESULT_DONE:
            await self._done(msgspec.json.decode(message.data, type=Outcome))
        elif message.subject == RESULT_STARTED:
            started = msgspec.json.decode(message.data, type=Started)
            await self._store.transact(lambda tx: self._started(tx, started))
        elif message.subject == RESULT_PROGRESS:
            progress = msgspec.json.decode(message.data, type=Progress)
            await self._store.transact(lambda tx: self._progress(tx, progress))

    def _progress(self, tx: Tx, progress: Progress) -> None:
        key, percent = job_key(progress.job_id), min(max(progress.percent, 0), 99)
        tx.run("job_progress", id=key, attempt=progress.attempt, percent=percent, now=self._clock.now_ms())

    def _started(self, tx: Tx, started: Started) -> None:
        row = tx.one("job_get", id=job_key(started.job_id))
        if row is None or not is_current(JobState(row["status"]), row["attempt"], row["attempt_base"], started.attempt):
            return
        now = self._clock.now_ms()
        tx.run("job_started", id=row["id"], started_at=started.started_at, attempt=started.attempt, now=now)
        if row["status"] == JobState.PENDING.value:
            self._tell_processing(tx, row, started.attempt, now)

    def _tell_processing(self, tx: Tx, row: Row, attempt: int, now: int) -> None:
        event = job_event(row, status=JobState.PROCESSING.value, attempt=attempt)
        enqueue_event(tx, self._ids, EventType.PROCESSING, event, now, row["traceparent"])

    async def _done(self, outcome: Outcome) -> None:
        served = await self._served(outcome)
        ending = await self._store.transact(lambda tx: self._settle(tx, outcome, served))
        if ending is None:
            return
        job_type, state = ending
        seconds = max(0, outcome.ended_at - outcome.started_at) / 1000
        self._telemetry.observe("jobs_processing_duration_seconds", seconds, job_type=job_type)
        if state is JobState.COMPLETED:
            self._telemetry.count("jobs_completed_total", job_type=job_type)
        elif state is JobState.FAILED:
            self._telemetry.count("jobs_failed_total", job_type=job_type, code=outcome.error_code or outcome.kind.value)
        else:
            self._telemetry.count("jobs_cancelled_total", job_type=job_type)

    async def _served(self, outcome: Outcome) -> Served | None:
        if outcome.kind is not OutcomeKind.DONE:
            return None
        if outcome.result_sha256:
            data = await self._blobs.get(outcome.result_sha256)
            return Served(None, outcome.result_sha256, len(data), keccak256(data))
        data = b"null" if isinstance(outcome.result, msgspec.UnsetType) else bytes(outcome.result)
        return Served(data, None, len(data), keccak256(data))

    def _settle(self, tx: Tx, outcome: Outcome, served: Served | None) -> tuple[str, JobState] | None:
        """Apply an outcome; None when the job goes on or the outcome no longer counts."""
        row = tx.one("job_get", id=job_key(outcome.job_id))
        if row is None:
            return None
        decision = decide(
            outcome.kind, JobState(row["status"]), current=row["attempt"], base=row["attempt_base"],
            attempt=outcome.attempt, cancelled=row["cancel_requested_at"] is not None,
            first_s=self._first_s, most_s=self._most_s,
        )  # fmt: skip
        if isinstance(decision, Stale):
            self._telemetry.log("info", "stale outcome", job_id=outcome.job_id, why=decision.why)
            return None
        now = self._clock.now_ms()
        if row["status"] == JobState.PENDING.value:
            self._tell_processing(tx, row, outcome.attempt, now)
        if isinstance(decision, Again):
            self._retry(tx, row, outcome, now, decision.delay_s)
            return None
        self._end(tx, row, outcome, decision, served or _error_served(outcome, decision), now)
        return row["job_type"], decision.state

    def _retry(self, tx: Tx, row: Row, outcome: Outcome, now: int, delay_s: float) -> None:
        tx.run(
            "job_retry_later", id=row["id"], attempt=outcome.attempt, retry_at=now + round(delay_s * 1000),
            status=JobState.PROCESSING.value, started_at=outcome.started_at, now=now,
        )  # fmt: skip

    def _end(self, tx: Tx, row: Row, outcome: Outcome, ending: Ending, served: Served, now: int) -> None:
        """Write the ending and its event; what is anchored gets its place in the order of settlement (C73)."""
        processing_ms = max(0, outcome.ended_at - outcome.started_at)
        error = None if ending.state is JobState.COMPLETED else ending.error_code or outcome.error_code
        event = job_event(
            row, status=ending.state.value, charge=ending.charge.value, attempt=outcome.attempt,
            error_code=error, processing_ms=processing_ms,
        )  # fmt: skip
        enqueue_event(tx, self._ids, _EVENT_OF[ending.state], event, now, row["traceparent"])
        last = tx.one("outbox_last")
        assert last is not None
        anchored = ending.state in ANCHORED
        tx.run(
            "job_settled", id=row["id"], status=ending.state.value, charge=ending.charge.value,
            attempt=outcome.attempt, started_at=outcome.started_at, completed_at=now, now=now,
            progress=100 if ending.state is JobState.COMPLETED else row["progress"],
            result=served.inline if anchored else None, result_sha256=served.sha256,
            result_bytes=served.size if anchored else None, result_keccak=served.keccak if anchored else None,
            processing_ms=processing_ms, error_code=error,
            error_message=outcome.error_message if ending.state is JobState.FAILED else None,
            dead_letter=int(ending.dead_letter), settled_no=last["n"] if anchored else None,
        )  # fmt: skip
        settle_units(tx, row, ending.charge)
        shown = {
            "status": ending.state.value, "completed_at": now, "result": served.inline if anchored else None,
            "result_bytes": served.size if anchored else None, "processing_ms": processing_ms, "error_code": error,
            "error_message": outcome.error_message,
        }  # fmt: skip
        enqueue_deliveries(tx, self._ids, row | shown, _WEBHOOK_OF[ending.state], now)

    async def _dispatch_retries(self) -> None:
        while True:
            if not await self._patiently(self.dispatch_due()):
                await self._clock.sleep(self._poll_s)

    async def dispatch_due(self) -> int:
        """Dispatch again what has waited long enough; returns how many."""
        due = await self._store.read(lambda tx: tx.one("jobs_to_retry", now=self._clock.now_ms(), most=1))
        if due is None:
            return 0
        count = await self._store.transact(self._dispatch)
        await self._broker.signal(OUTBOX_WAKE)
        return count

    def _dispatch(self, tx: Tx) -> int:
        now = self._clock.now_ms()
        rows = tx.all("jobs_to_retry", now=now, most=MOST)
        for row in rows:
            tx.run("job_dispatched", id=row["id"], now=now)
            enqueue_work(tx, self._ids, work_message(row, row["attempt_base"]), row["priority"], now)
        return len(rows)

    async def _repeat_cancels(self) -> None:
        while True:
            await self._patiently(self.repeat_cancels())
            await self._clock.sleep(max(CANCEL_EVERY_S, self._poll_s))

    async def repeat_cancels(self) -> int:
        """Say again which running jobs should stop, and end those that only wait for another attempt."""
        rows = await self._store.read(lambda tx: tx.all("jobs_to_cancel", most=MOST))
        for row in rows:
            if row["retry_at"] is not None:
                await self._store.transact(partial(self._cancel_waiting, key=row["id"]))
            else:
                await self._broker.signal(cancel_subject(job_id(row["id"])))
        return len(rows)

    def _cancel_waiting(self, tx: Tx, key: bytes) -> None:
        row = tx.one("job_get", id=key)
        if row is not None and row["retry_at"] is not None and row["status"] == JobState.PROCESSING.value:
            cancel_now(tx, self._ids, row, Charge.CHARGED, self._clock.now_ms())


def _error_served(outcome: Outcome, ending: Ending) -> Served:
    """What the result endpoint serves for a failed job: its error as JSON."""
    code = ending.error_code or outcome.error_code or outcome.kind.value
    message = outcome.error_message or "The job could not be completed."
    data = msgspec.json.encode({"error": {"code": code, "message": message}})
    return Served(data, None, len(data), keccak256(data))
