"""The worker: when to claim, when to run, when to report. What an attempt is, the executor knows."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import msgspec

from simulator.broker.port import Broker, Message, Outgoing, Unlisten
from simulator.service import background
from simulator.telemetry import Telemetry
from simulator.worker.executor import Attempt, Executor
from simulator.worker.queue import ClaimQueue
from simulator.worker.slots import Slots
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError
from zjops.domain.events import (
    CONTROL_CANCEL,
    RESULT_DONE,
    RESULT_PROGRESS,
    RESULT_STARTED,
    RESULTS,
    WORK_ACK_WAIT_S,
    Outcome,
    Progress,
    Started,
    Work,
    work_durable,
)
from zjops.domain.jobs import JobType, OutcomeKind, Priority

EXTEND_EVERY_S = WORK_ACK_WAIT_S / 3
LONG_RUN_S = 0.2
"""A job that runs longer than this is told as started."""
AT_ONCE_S = 0.001
"""What is due within this counts as due now: a timer may ring a little early."""
BUSY = 16
"""While so many claims are held, outcomes wait a little for each other: fewer and larger publications cost less."""
DRAIN_S = 5.0
UNREADABLE_S = 30.0


class Claim:
    """A delivered work message with its place in a worker."""

    __slots__ = ("attempt", "cancelled", "delivered", "idle", "message", "running", "task", "work")

    def __init__(self, message: Message, work: Work) -> None:
        self.message, self.work = message, work
        self.delivered, self.idle = message.delivered, 0
        self.attempt = work.attempt_base + message.delivered
        self.task: asyncio.Task[None] | None = None
        self.running = self.cancelled = False

    def again(self, message: Message) -> None:
        """It lapsed and came back to us: the later delivery speaks for it.

        One that comes while it still waits uses up no attempt, for nothing had begun. Once somebody else had it in
        between, who may have begun, every delivery counts.
        """
        if message.delivered != self.delivered + 1:
            self.idle = 0
        elif self.task is None:
            self.idle += 1
        self.delivered = message.delivered
        self.attempt = self.work.attempt_base + self.delivered - self.idle

    def cancel(self) -> None:
        """The job is no longer wanted: end its code, or do not begin it."""
        self.cancelled = True
        if self.running and self.task is not None:
            self.task.cancel()


class Worker:
    """Pulls by type and priority, keeps its slots busy, reports every outcome before it lets go of the work."""

    def __init__(
        self, broker: Broker, slots: Slots, executor: Executor, clock: Clock, telemetry: Telemetry, *,
        concurrency: int, idle_s: float, linger_s: float = 0.0, prefetch: int = 32, backoff_s: float = 0.25,
    ) -> None:  # fmt: skip
        self._broker, self._slots, self._executor = broker, slots, executor
        self._clock, self._telemetry = clock, telemetry
        self._prefetch, self._idle_s, self._backoff_s, self._linger_s = prefetch, idle_s, backoff_s, linger_s
        self._places = asyncio.Semaphore(concurrency)
        self._queue: ClaimQueue[Claim] = ClaimQueue()
        self._held: dict[int, Claim] = {}
        self._holding = asyncio.Event()
        self._arrived, self._taken = asyncio.Event(), asyncio.Condition()
        self._full = 0
        self._young: deque[tuple[float, Claim, Attempt]] = deque()
        self._reports: list[tuple[Outgoing, Message | None]] = []
        self._reported, self._flushing = asyncio.Event(), asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._unlisten: Unlisten | None = None

    async def start(self) -> None:
        if self._tasks:
            return
        await self._slots.start()
        self._unlisten = await self._broker.listen(CONTROL_CANCEL, self._on_cancel)
        loops = [self._pull(t, p) for p in Priority for t in JobType]
        loops += [self._start_jobs(), self._extend_claims(), self._publish_reports()]
        self._tasks = [background(loop, "worker") for loop in loops]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        if not tasks:
            return
        publisher = tasks.pop()
        await _cancel(tasks)
        if self._unlisten is not None:
            with contextlib.suppress(UnreachableError):
                await self._unlisten()
        await self._drain()
        await _cancel([publisher])
        await self._slots.stop()

    async def _drain(self) -> None:
        """Hand back what has not begun and wait a little for what has."""
        for claim in self._queue.drain():
            with contextlib.suppress(UnreachableError):
                await claim.message.nak()
        running = [claim.task for claim in self._held.values() if claim.task is not None]
        if running:
            await asyncio.wait(running, timeout=DRAIN_S)
            await _cancel([task for task in running if not task.done()])
        with contextlib.suppress(UnreachableError, TimeoutError):
            await asyncio.wait_for(self._flush(), DRAIN_S)

    async def _pull(self, job_type: JobType, priority: Priority) -> None:
        durable = work_durable(job_type, priority)
        while True:
            if self._queue.count(job_type, priority) > self._prefetch // 2:
                await self._wait_for_room(job_type, priority)
            room = self._prefetch - self._queue.count(job_type, priority)
            try:
                messages = await self._broker.fetch(durable, room, self._idle_s)
            except UnreachableError as exc:
                self._telemetry.log("warning", "worker waits", reason=str(exc))
                await self._clock.sleep(self._backoff_s)
                continue
            for message in messages:
                await self._admit(message, job_type, priority)

    async def _wait_for_room(self, job_type: JobType, priority: Priority) -> None:
        """Until half of it is free: to ask for each place as it becomes free costs a request a job."""
        self._full += 1
        try:
            async with self._taken:
                await self._taken.wait_for(lambda: self._queue.count(job_type, priority) <= self._prefetch // 2)
        finally:
            self._full -= 1

    async def _admit(self, message: Message, job_type: JobType, priority: Priority) -> None:
        try:
            work = msgspec.json.decode(message.data, type=Work)
        except msgspec.MsgspecError as exc:
            self._telemetry.log("error", "unreadable work", subject=message.subject, reason=str(exc))
            # A version that understands it may yet be started: it stays until then.
            await message.nak(UNREADABLE_S)
            return
        if message.sequence in self._held:
            self._held[message.sequence].again(message)
            return
        claim = self._held[message.sequence] = Claim(message, work)
        self._holding.set()
        self._queue.put(job_type, priority, claim)
        self._arrived.set()

    async def _start_jobs(self) -> None:
        while True:
            await self._places.acquire()
            while (claim := self._queue.take()) is None:
                self._arrived.clear()
                await self._arrived.wait()
            if self._full:
                async with self._taken:
                    self._taken.notify_all()
            claim.task = asyncio.create_task(self._run(claim))

    async def _run(self, claim: Claim) -> None:
        attempt = Attempt(claim.work, claim.attempt, self._clock.now_ms())
        attempt.on_progress = lambda percent: self._tell_progress(claim, percent)
        self._watch(claim, attempt)
        outcome = None
        try:
            if not claim.cancelled:
                claim.running = True
                outcome = await self._executor.execute(attempt)
        except asyncio.CancelledError:
            pass
        except Exception as exc:
            # The platform's own trouble, not the job's: let the claim lapse so that another attempt follows.
            self._telemetry.log("error", "attempt abandoned", job_id=claim.work.job_id, reason=repr(exc))
        finally:
            claim.running = False
            self._places.release()
        if outcome is None and claim.cancelled:
            outcome = self._executor.cancelled(attempt)
        self._finish(claim, outcome)

    def _finish(self, claim: Claim, outcome: Outcome | None) -> None:
        if outcome is None or (outcome.kind is OutcomeKind.CANCELLED and not claim.cancelled):
            self._held.pop(claim.message.sequence, None)
            return
        msg_id = f"{outcome.job_id}:{claim.attempt}:done"
        final = msgspec.structs.replace(outcome, attempt=claim.attempt)
        self._report(Outgoing(RESULT_DONE, msgspec.json.encode(final), msg_id), claim.message)

    def _report(self, out: Outgoing, message: Message | None) -> None:
        self._reports.append((out, message))
        self._reported.set()

    def _watch(self, claim: Claim, attempt: Attempt) -> None:
        """Tell of a job that it runs once it has run for a while. All wait equally long: one timer is enough."""
        loop = asyncio.get_running_loop()
        self._young.append((loop.time() + LONG_RUN_S, claim, attempt))
        if len(self._young) == 1:
            loop.call_at(self._young[0][0], self._tell_long_runs)

    def _tell_long_runs(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + AT_ONCE_S
        while self._young and (self._young[0][0] <= due or not self._young[0][1].running):
            _, claim, attempt = self._young.popleft()
            if claim.running:
                self._tell_started(attempt)
        if self._young:
            loop.call_at(self._young[0][0], self._tell_long_runs)

    def _tell_started(self, attempt: Attempt) -> None:
        started = Started(job_id=attempt.work.job_id, attempt=attempt.number, started_at=attempt.started_at)
        msg_id = f"{started.job_id}:{started.attempt}:started"
        self._report(Outgoing(RESULT_STARTED, msgspec.json.encode(started), msg_id), None)

    def _tell_progress(self, claim: Claim, percent: int) -> None:
        progress = Progress(job_id=claim.work.job_id, attempt=claim.attempt, percent=percent, at=self._clock.now_ms())
        self._report(Outgoing(RESULT_PROGRESS, msgspec.json.encode(progress)), None)

    async def _publish_reports(self) -> None:
        while True:
            await self._reported.wait()
            if len(self._held) >= BUSY and self._linger_s:
                await self._clock.sleep(self._linger_s)
            try:
                await self._flush()
            except UnreachableError as exc:
                self._telemetry.log("warning", "outcomes wait", reason=str(exc), waiting=len(self._reports))
                await self._clock.sleep(self._backoff_s)

    async def _flush(self) -> None:
        """Publish what waits; only what the broker has stored is acknowledged and let go."""
        async with self._flushing:
            while self._reports:
                sent = self._reports[:]
                await self._broker.publish(RESULTS, [out for out, _ in sent])
                del self._reports[: len(sent)]
                done = [message for _, message in sent if message is not None]
                for message in done:
                    self._held.pop(message.sequence, None)
                # Should one fail, the others come again, and nobody here holds them any more.
                for message in done:
                    await message.ack()
            self._reported.clear()

    async def _extend_claims(self) -> None:
        while True:
            if not self._held:
                self._holding.clear()
            await self._holding.wait()
            await self._clock.sleep(EXTEND_EVERY_S)
            for claim in list(self._held.values()):
                try:
                    await claim.message.in_progress()
                except UnreachableError:
                    break

    async def _on_cancel(self, subject: str, data: bytes) -> None:
        wanted = subject.rpartition(".")[2]
        for claim in self._held.values():
            if claim.work.job_id == wanted and not claim.cancelled:
                claim.cancel()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
