"""Settlement: from the outcome of an attempt to the state of a job, its charge and the events that tell of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec

from simulator.blobs.port import Blobs
from simulator.broker.port import Broker, Message
from simulator.intake.endings import cancel_now
from simulator.job_events import work_message
from simulator.outbox import enqueue_work
from simulator.policy.backlog import Behind, Pace, Told, worth_telling
from simulator.service import background
from simulator.settling import Result, Served, Settling
from simulator.store.port import Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import BlobMissing, StoreUnavailable, UnreachableError
from zjops.domain.events import (
    OUTBOX_WAKE,
    RESULT_DONE,
    RESULT_PROGRESS,
    RESULT_STARTED,
    Outcome,
    Progress,
    Started,
    cancel_subject,
)
from zjops.domain.ids import Ids, job_id, job_key
from zjops.domain.jobs import Charge, JobState, OutcomeKind
from zjops.domain.merkle import keccak256

DURABLE = "settlement"
BUSY = 8
"""After so many at once the next ones are waited for a little: fewer and larger transactions cost less."""
FETCH, TOGETHER = 256, 48
"""How many are fetched at once, and how many of them share a transaction: submissions wait for the lock meanwhile."""
CANCEL_EVERY_S = 1.0
MOST = 200
BEHIND_KEPT_MS = 60_000
UNREADABLE_S, BLOB_AGAIN_S = 30.0, 1.0

_KINDS: dict[str, type[Started] | type[Progress]] = {RESULT_STARTED: Started, RESULT_PROGRESS: Progress}


class Settlement:
    """Consumes RESULTS and owns every state after acceptance except `confirmed`."""

    def __init__(
        self, store: Store, broker: Broker, blobs: Blobs, clock: Clock, ids: Ids, telemetry: Telemetry, *,
        retry_first_s: float, retry_most_s: float, poll_s: float, idle_s: float, linger_s: float = 0.0,
        owner: str = "settlement", slots: int = 1,
    ) -> None:  # fmt: skip
        self._store, self._broker, self._blobs = store, broker, blobs
        self._clock, self._ids, self._telemetry = clock, ids, telemetry
        self._first_s, self._most_s, self._poll_s, self._idle_s = retry_first_s, retry_most_s, poll_s, idle_s
        self._linger_s = linger_s
        self._owner, self._pace, self._written, self._told = owner, Pace(slots), Behind(), Told()
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

    def behind(self) -> Behind:
        """How far this is behind with what was accepted."""
        return self._told.at(self._clock.monotonic())

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
            # After a full fetch more lies there already.
            if BUSY <= await self._patiently(self.settle_waiting(self._idle_s)) < FETCH and self._linger_s:
                await self._clock.sleep(self._linger_s)

    async def settle_waiting(self, wait_s: float = 0.0) -> int:
        """Settle what has come in; a message is acknowledged only after its commit. Returns how many."""
        messages = await self._broker.fetch(DURABLE, FETCH, wait_s)
        if messages:
            read = [(message, result) for message in messages if (result := await self._read(message)) is not None]
            for start in range(0, len(read), TOGETHER):
                await self._settle(read[start : start + TOGETHER])
            await self._broker.signal(OUTBOX_WAKE)
        return len(messages)

    async def _read(self, message: Message) -> Result | None:
        """What a message says, with the bytes of its result; None for one that has to come again."""
        try:
            if message.subject == RESULT_DONE:
                outcome = msgspec.json.decode(message.data, type=Outcome)
                job_key(outcome.job_id)
                return Result(outcome, await self._served(outcome))
            said = msgspec.json.decode(message.data, type=_KINDS[message.subject])
            job_key(said.job_id)
            return Result(said)
        except (msgspec.MsgspecError, ValueError, KeyError) as exc:
            await self._put_aside(message, "unreadable result", exc)
        except (BlobMissing, StoreUnavailable) as exc:
            self._telemetry.log("error", "result blob missing", reason=str(exc))
            await message.nak(BLOB_AGAIN_S)
        return None

    async def _served(self, outcome: Outcome) -> Served | None:
        if outcome.kind is not OutcomeKind.DONE:
            return None
        if outcome.result_sha256:
            data = await self._blobs.get(outcome.result_sha256)
            return Served(None, outcome.result_sha256, len(data), keccak256(data))
        data = b"null" if isinstance(outcome.result, msgspec.UnsetType) else bytes(outcome.result)
        return Served(data, None, len(data), keccak256(data))

    async def _settle(self, read: list[tuple[Message, Result]]) -> None:
        """Settle a group in one transaction. One that cannot be settled must not take the others with it."""
        if not read:
            return
        try:
            done = await self._store.transact(lambda tx: self._take(tx, [result for _, result in read]))
        except UnreachableError:
            raise
        except Exception as exc:
            if len(read) > 1:
                for one in read:
                    await self._settle([one])
            else:
                await self._put_aside(read[0][0], "result cannot be settled", exc)
            return
        for message, _ in read:
            await message.ack()
        self._count(done)
        # It was cancelled while its work lay in the stream, where no signal reaches it: now somebody listens.
        for unwanted in done.unwanted:
            await self._broker.signal(cancel_subject(unwanted))

    async def _put_aside(self, message: Message, why: str, exc: Exception) -> None:
        """A version that understands it may yet be started: until then it stays, and is said again and again."""
        self._telemetry.log("error", why, subject=message.subject, reason=repr(exc))
        await message.nak(UNREADABLE_S)

    def _take(self, tx: Tx, results: list[Result]) -> Settling:
        settling = Settling(tx, self._ids, self._clock.now_ms(), first_s=self._first_s, most_s=self._most_s)
        settling.take(results)
        self._tell_pace(tx, settling)
        return settling

    def _tell_pace(self, tx: Tx, done: Settling) -> None:
        """Once a second, how far behind this is, if it is: in a transaction that is made anyway."""
        for _, _, outcome, accepted_at in done.settled:
            if outcome.attempt == 1:
                ran_ms = max(0, outcome.ended_at - outcome.started_at)
                self._pace.waited(max(0, done.now - accepted_at - ran_ms))
        self._pace.ran(done.ran_ms)
        now_s = self._clock.monotonic()
        behind = self._pace.take(len(done.settled), now_s)
        if behind is not None:
            self._told.tell(behind, now_s)
        if behind is not None and worth_telling(behind, self._written):
            self._written, wait_ms = behind, round(behind.wait_s * 1000)
            tx.run("behind_put", owner=self._owner, now=done.now, wait_ms=wait_ms, per_s=behind.rate)
            tx.run("behind_forget", before=done.now - BEHIND_KEPT_MS)

    def _count(self, done: Settling) -> None:
        for stale in done.stale:
            self._telemetry.log("info", "stale outcome", job_id=stale.job_id, why=stale.why)
        for job_type, state, outcome, _ in done.settled:
            seconds = max(0, outcome.ended_at - outcome.started_at) / 1000
            self._telemetry.observe("jobs_processing_duration_seconds", seconds, job_type=job_type)
            if state is JobState.COMPLETED:
                self._telemetry.count("jobs_completed_total", job_type=job_type)
            elif state is JobState.FAILED:
                code = outcome.error_code or outcome.kind.value
                self._telemetry.count("jobs_failed_total", job_type=job_type, code=code)
            else:
                self._telemetry.count("jobs_cancelled_total", job_type=job_type)

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
