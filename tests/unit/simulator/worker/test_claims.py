"""Claims that lapse: what never began uses up no attempt, what may have begun does."""

from __future__ import annotations

import io

import msgspec
import pytest

from simulator.blobs.memory import MemoryBlobs
from simulator.broker.kept import Durable
from simulator.broker.memory import MemoryBroker
from simulator.broker.port import Message, Outgoing
from simulator.telemetry import Telemetry
from simulator.worker.executor import Executor
from simulator.worker.slots import InlineSlots
from simulator.worker.worker import Claim, Worker
from zjops.domain.clock import VirtualClock, run_virtual
from zjops.domain.events import (
    DURABLES,
    RESULT_DONE,
    STREAMS,
    WORK,
    WORK_ACK_WAIT_S,
    Outcome,
    Work,
    work_durable,
    work_subject,
)
from zjops.domain.jobs import MAX_ATTEMPTS, JobType, OutcomeKind, Priority

TYPE = JobType.COMPUTE_HEAVY
PREFETCH = 32
LONG_MS = round(WORK_ACK_WAIT_S * (MAX_ATTEMPTS + 2) * 1000)
"""Longer than it takes claims to lapse more often than a job has attempts."""


class _Unextended(MemoryBroker):
    """The broker of a worker that is stopped whenever it would prolong its claims."""

    def postpone(self, durable: Durable, sequence: int, delay_s: float) -> None:
        return None


def _work(name: str, duration_ms: int) -> Outgoing:
    parameters = msgspec.Raw(msgspec.json.encode({"algorithm": "synthetic", "duration_ms": duration_ms}))
    work = Work(job_id=name, tenant="acme", job_type=TYPE.value, timeout_s=600, parameters=parameters)
    return Outgoing(work_subject(TYPE.value, Priority.NORMAL), msgspec.json.encode(work))


def _worker(broker: MemoryBroker, clock: VirtualClock, *, concurrency: int) -> Worker:
    executor, telemetry = Executor(InlineSlots(), MemoryBlobs(), clock), Telemetry("worker", clock, io.StringIO())
    return Worker(
        broker, InlineSlots(), executor, clock, telemetry, concurrency=concurrency, idle_s=1.0, prefetch=PREFETCH
    )  # fmt: skip


async def _run() -> list[Outcome]:
    clock = VirtualClock(0)
    broker = _Unextended(clock)
    await broker.start()
    await broker.ensure(STREAMS, DURABLES)
    worker = _worker(broker, clock, concurrency=1)
    await worker.start()
    await broker.publish(WORK, [_work("long", LONG_MS), _work("waits", 10)])
    await clock.sleep(LONG_MS / 1000 + 2)
    told = await broker.fetch("settlement", 100, 1.0)
    await worker.stop()
    await broker.stop()
    return [msgspec.json.decode(one.data, type=Outcome) for one in told if one.subject == RESULT_DONE]


def test_a_job_that_only_waited_has_used_no_attempt_up() -> None:
    """Its claim lapses again and again while the worker's one place is taken."""
    found = {one.job_id: one for one in run_virtual(_run())}
    assert (found["waits"].kind, found["waits"].attempt) == (OutcomeKind.DONE, 1)
    assert found["long"].attempt > MAX_ATTEMPTS, "what has begun goes on under the later delivery"


class _Asked(MemoryBroker):
    """Notes how much work of the type is asked for at once, and hands out a little later, as over a wire."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.slow, self.asked = clock, list[int]()

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        if durable == work_durable(TYPE, Priority.NORMAL):
            self.asked.append(batch)
            await self.slow.sleep(0.015)
        return await super().fetch(durable, batch, wait_s)


def test_work_is_asked_for_by_half_of_what_is_held_ready() -> None:
    """Not for each place as it becomes free, which would be a request a job."""

    async def story() -> list[int]:
        clock = VirtualClock(0)
        broker = _Asked(clock)
        await broker.start()
        await broker.ensure(STREAMS, DURABLES)
        await broker.publish(WORK, [_work(f"job-{number}", 10) for number in range(500)])
        worker = _worker(broker, clock, concurrency=2)
        await worker.start()
        await clock.sleep(2)
        await worker.stop()
        await broker.stop()
        return broker.asked

    asked = run_virtual(story())
    assert len(asked) > 10
    assert all(PREFETCH // 2 <= batch <= PREFETCH for batch in asked)


class _Delivery:
    """A delivery with its number."""

    subject, data, sequence, timestamp_ms = "jobs.work", b"", 1, 0

    def __init__(self, delivered: int) -> None:
        self.delivered, self.headers = delivered, dict[str, str]()

    async def ack(self) -> None: ...

    async def nak(self, delay_s: float = 0.0) -> None: ...

    async def in_progress(self) -> None: ...


@pytest.mark.parametrize(
    ("deliveries", "attempt"),
    [pytest.param([1], 3, id="the first of a dispatch"), pytest.param([1, 2, 3], 3, id="all of them ours"),
     pytest.param([1, 2, 4], 6, id="somebody else had the third"),
     pytest.param([1, 2, 4, 5], 6, id="ours again after somebody else's"),
     pytest.param([2, 3], 4, id="somebody else had the first")],
)  # fmt: skip
def test_a_number_is_never_below_one_that_somebody_else_may_use(deliveries: list[int], attempt: int) -> None:
    """Settlement takes the highest: the dispatch began after two attempts."""
    first, *later = map(_Delivery, deliveries)
    message: Message = first
    claim = Claim(message, Work(job_id="job", tenant="acme", job_type=TYPE.value, timeout_s=60, attempt_base=2))
    for one in later:
        claim.again(one)
    assert claim.attempt == attempt
