"""Settlement of results that come together: each as if it had come alone, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulator.api.views import attempts_of
from simulator.blobs.files import FileBlobs
from simulator.broker.memory import MemoryBroker
from simulator.broker.port import Message, Outgoing
from simulator.intake.acceptance import Acceptance
from simulator.intake.endings import request_cancel
from simulator.intake.records import Accepted, Submission, Tenant
from simulator.settlement import DURABLE, TOGETHER, UNREADABLE_S, Settlement
from simulator.settling import Settling
from simulator.store.memory import MemoryStore
from simulator.store.port import Row
from simulator.store.sqlite import MemorySqliteStore, SqliteTx
from simulator.telemetry import Telemetry
from tests.support.tables import look, tables
from zjops.domain.clock import ManualClock, parse_rfc3339
from zjops.domain.errors import BrokerUnavailable
from zjops.domain.events import (
    CONTROL_CANCEL,
    DURABLES,
    RESULT_DONE,
    RESULT_PROGRESS,
    RESULT_STARTED,
    RESULTS,
    STREAMS,
    Outcome,
    Progress,
    Started,
    cancel_subject,
)
from zjops.domain.ids import SeededIds, job_key
from zjops.domain.jobs import MAX_ATTEMPTS, JobType, OutcomeKind
from zjops.domain.plans import price_book
from zjops.domain.wire import SubmitRequest

START_MS = 1_790_000_000_000
UNITS = 100
TENANTS = [Tenant(name, price_book().plan("enterprise"), "active") for name in ("acme", "beta")]
Said = tuple[str, Outcome | Started | Progress]


class Bench:
    """A store with accepted jobs, a broker, and settlement between them, in one test's hand."""

    def __init__(self, folder: Path, store: MemorySqliteStore | None = None) -> None:
        self.clock, self.store = ManualClock(START_MS), store or MemorySqliteStore()
        self.ids, self.broker, self.blobs = SeededIds(self.clock, 1), MemoryBroker(self.clock), FileBlobs(folder)
        self.telemetry = Telemetry("t", self.clock, stream=None)
        self.settlement = Settlement(
            self.store, self.broker, self.blobs, self.clock, self.ids, self.telemetry,
            retry_first_s=1, retry_most_s=60, poll_s=1, idle_s=1,
        )  # fmt: skip

    async def start(self) -> None:
        await self.store.start()
        await self.broker.start()
        await self.broker.ensure(STREAMS, DURABLES)
        for tenant in TENANTS:
            await self.store.transact(
                lambda tx, name=tenant.tenant: tx.run(
                    "tenant_put", tenant=name, name=None, plan="enterprise", overrides="{}", now=START_MS
                )
            )

    async def stop(self) -> None:
        await self.broker.stop()
        await self.store.stop()

    async def accept(self, count: int, callback: str | None = None) -> list[str]:
        """So many jobs of both tenants by turns; returns their ids."""
        new = [self._submission(n, callback) for n in range(count)]
        told = await self.store.transact(lambda tx: Acceptance(tx, self.clock.now_ms(), 60).take(new))
        return [verdict.job_id for verdict in told if isinstance(verdict, Accepted)]

    def _submission(self, n: int, callback: str | None) -> Submission:
        ids, key = self.ids, self.ids.key()
        request = SubmitRequest(job_type=JobType.ML_INFERENCE, parameters={}, callback_url=callback)
        return Submission(
            TENANTS[n % 2], request, key, uuid.UUID(bytes=key), b"m" * 16, key, ids.token(32), ids.name(), ids.name(),
            10, UNITS, b"{}", None, None,
        )  # fmt: skip

    async def say(self, *said: Said | bytes) -> None:
        """Publish results; bare bytes as those of an ended attempt."""
        out = [
            Outgoing(RESULT_DONE, one) if isinstance(one, bytes) else Outgoing(one[0], msgspec.json.encode(one[1]))
            for one in said
        ]
        await self.broker.publish(RESULTS, out)

    def jobs(self) -> list[Row]:
        return look(self.store, "SELECT * FROM jobs ORDER BY id")

    def attempts(self) -> list[Row]:
        return look(self.store, "SELECT * FROM job_attempts ORDER BY job_id, n")

    def told(self, job: str) -> list[tuple[Any, ...]]:
        """The attempts of a job as the API tells them: number, what became of it, began, ended, next, code."""
        tx = SqliteTx(tables(self.store))
        row = tx.one("job_get", id=job_key(job))
        assert row is not None
        return [
            (one.attempt, one.outcome, _later(one.started_at), _later(one.ended_at), _later(one.next_at),
             one.error.code if one.error else None)
            for one in attempts_of(tx, row)
        ]  # fmt: skip

    def statuses(self, *names: str) -> list[str]:
        found = {row["id"]: row["status"] for row in self.jobs()}
        return [found[key] for key in map(job_key, names)]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Subject and data of every event in the outbox, in order."""
        rows = look(self.store, "SELECT subject, payload FROM outbox WHERE stream = 'EVENTS' ORDER BY n")
        return [(row["subject"], msgspec.json.decode(row["payload"])["data"]) for row in rows]

    def books(self) -> list[list[Row]]:
        """What settlement keeps count of."""
        return [
            look(self.store, f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("usage", "usage_days", "tenants")
        ]


def _later(text: str | None) -> int | None:
    return None if text is None else parse_rfc3339(text) - START_MS


def done(job: str, attempt: int = 1, kind: OutcomeKind = OutcomeKind.DONE, **over: Any) -> Said:
    """An attempt that ended."""
    result = {"result": msgspec.Raw(b'{"a":1}'), "result_bytes": 7} if kind is OutcomeKind.DONE else {}
    values = {"started_at": START_MS, "ended_at": START_MS + 30} | result | over
    return RESULT_DONE, Outcome(job_id=job, attempt=attempt, kind=kind, **values)  # type: ignore[arg-type]


def started(job: str, attempt: int = 1, at_ms: int = START_MS) -> Said:
    return RESULT_STARTED, Started(job_id=job, attempt=attempt, started_at=at_ms)


def progress(job: str, percent: int, attempt: int = 1) -> Said:
    return RESULT_PROGRESS, Progress(job_id=job, attempt=attempt, percent=percent, at=START_MS)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    await made.start()
    yield made
    await made.stop()


def _draw(source: random.Random, jobs: list[str]) -> Said:
    """Any result of any attempt, most of them of an early one."""
    job, attempt = source.choice(jobs), min(source.randint(1, 3), source.randint(1, MAX_ATTEMPTS))
    draw = source.random()
    if draw < 0.25:
        return started(job, attempt)
    if draw < 0.5:
        return progress(job, source.randint(0, 99), attempt)
    kinds = [OutcomeKind.RETRY] * 4 + [OutcomeKind.DONE] * 3 + list(OutcomeKind)
    return done(job, attempt, source.choice(kinds), error_code="boom", error_message="It broke.")


async def _settled(folder: Path, store: MemorySqliteStore, seed: int, group: int) -> list[Any]:
    """Everything that follows from a row of results that come so many at a time."""
    bench = Bench(folder, store)
    await bench.start()
    jobs = await bench.accept(30, "https://example.org/hook")
    source = random.Random(seed)
    for job in source.sample(jobs, 3):
        await bench.store.transact(lambda tx, j=job: tx.run("job_cancel_requested", id=job_key(j), now=START_MS))
    said = [_draw(source, jobs) for _ in range(240)]
    for at in range(0, len(said), group):
        await bench.say(*said[at : at + group])
        assert await bench.settlement.settle_waiting() == len(said[at : at + group])
    assert await bench.broker.pending(DURABLE) == 0
    told = look(bench.store, "SELECT tenant, url, job_id, type, at, body FROM deliveries ORDER BY job_id")
    found = [bench.jobs(), bench.events(), *bench.books(), bench.attempts(), told]
    await bench.stop()
    return found


@pytest.mark.parametrize("seed", range(5))
async def test_a_group_settles_as_its_results_do_one_by_one(tmp_path: Path, seed: int) -> None:
    alone = await _settled(tmp_path, MemorySqliteStore(), seed, 1)
    assert {row["status"] for row in alone[0]} > {"completed", "failed"}
    assert len(alone[-1]) > 3, "deliveries too"
    assert len({row["outcome"] for row in alone[-2]}) > 3, "attempts too"
    for group in (2, 7, 240):
        assert await _settled(tmp_path, MemorySqliteStore(), seed, group) == alone
    assert await _settled(tmp_path, MemoryStore(), seed, 240) == alone, "on hot tables too"


async def test_every_ending_is_charged_or_released_and_told_once(bench: Bench) -> None:
    jobs = await bench.accept(8)
    kinds = [OutcomeKind.DONE, OutcomeKind.CLIENT_FAULT, OutcomeKind.FAILED, OutcomeKind.EXHAUSTED] * 2
    said = [done(job, 1, kind) for job, kind in zip(jobs, kinds, strict=True)]
    # A redelivery beside the first, and again afterwards.
    await bench.say(*said, *said)
    assert await bench.settlement.settle_waiting() == 16
    await bench.say(*said)
    assert await bench.settlement.settle_waiting() == 8
    for usage, tenant in zip(bench.books()[0], bench.books()[2], strict=True):
        assert (usage["held"], usage["charged"], usage["released"]) == (0, 2 * UNITS, 2 * UNITS)
        assert tenant["active_jobs"] == 0
    ends = [data["job_id"] for subject, data in bench.events() if subject in ("jobs.completed", "jobs.failed")]
    assert sorted(ends) == sorted(jobs)


async def test_a_job_that_needs_one_attempt_tells_of_it_and_costs_no_row(bench: Bench) -> None:
    good, bad, runs, waits = await bench.accept(4)
    await bench.say(
        done(good), done(bad, 1, OutcomeKind.FAILED, error_code="boom", error_message="It broke."), started(runs)
    )  # fmt: skip
    await bench.settlement.settle_waiting()
    assert bench.attempts() == []
    assert bench.told(good) == [(1, "completed", 0, 30, None, None)]
    assert bench.told(bad) == [(1, "failed", 0, 30, None, "boom")]
    assert bench.told(runs) == [(1, "running", 0, None, None, None)]
    assert bench.told(waits) == []


async def test_every_attempt_is_told_with_its_times_and_why_another_followed(bench: Bench) -> None:
    (job,) = await bench.accept(1)
    boom = {"error_code": "boom", "error_message": "It broke."}
    await bench.say(done(job, 1, OutcomeKind.RETRY, **boom))
    await bench.settlement.settle_waiting()
    first = (1, "retried", 0, 30, 1_000, "boom")
    assert bench.told(job) == [first]
    bench.clock.advance(2)
    assert await bench.settlement.dispatch_due() == 1
    await bench.say(started(job, 2, START_MS + 2_000))
    await bench.settlement.settle_waiting()
    assert bench.told(job) == [first, (2, "running", 2_000, None, None, None)]
    # Its worker dies: what claims it next is the third.
    await bench.say(started(job, 3, START_MS + 9_000))
    await bench.settlement.settle_waiting()
    second = (2, "lost", 2_000, None, None, None)
    assert bench.told(job) == [first, second, (3, "running", 9_000, None, None, None)]
    await bench.say(done(job, 3, started_at=START_MS + 9_000, ended_at=START_MS + 9_500))
    await bench.settlement.settle_waiting()
    assert bench.told(job) == [first, second, (3, "completed", 9_000, 9_500, None, None)]


@pytest.mark.parametrize("told", [True, False], ids=["it was told that the first began", "nothing was told of it"])
async def test_a_first_attempt_whose_worker_died_is_told_as_far_as_it_is_known(bench: Bench, told: bool) -> None:
    (job,) = await bench.accept(1)
    await bench.say(*([started(job)] if told else []))
    await bench.settlement.settle_waiting()
    await bench.say(done(job, 2, started_at=START_MS + 7_000, ended_at=START_MS + 7_100))
    await bench.settlement.settle_waiting()
    assert bench.told(job) == [
        (1, "lost", 0 if told else None, None, None, None), (2, "completed", 7_000, 7_100, None, None),
    ]  # fmt: skip


async def test_attempts_of_a_store_that_kept_none_are_told_as_far_as_the_job_knows_them(bench: Bench) -> None:
    over, waits, runs = await bench.accept(3)
    for job in (over, waits, runs):
        await bench.say(done(job, 1, OutcomeKind.RETRY))
    await bench.settlement.settle_waiting()
    at = START_MS + 7_000
    await bench.say(done(over, 3, started_at=at, ended_at=at + 100), started(runs, 2, at))
    bench.clock.advance(9)
    await bench.settlement.settle_waiting()
    tables(bench.store).execute("DELETE FROM job_attempts")
    first = (1, "retried", 0, None, None, None)
    assert bench.told(over) == [
        first, (2, "lost", None, None, None, None), (3, "completed", None, 9_000, None, None),
    ]  # fmt: skip
    assert bench.told(waits) == [first]
    assert bench.told(runs) == [first, (2, "running", None, None, None, None)]


async def test_a_dead_letter_says_why_its_last_attempt_failed(bench: Bench) -> None:
    (job,) = await bench.accept(1)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await bench.say(done(job, attempt, OutcomeKind.RETRY, error_code="boom", error_message="It broke."))
        await bench.settlement.settle_waiting()
    assert [(one[0], one[1], one[5]) for one in bench.told(job)] == [
        *((n, "retried", "boom") for n in range(1, MAX_ATTEMPTS)), (MAX_ATTEMPTS, "failed", "boom"),
    ]  # fmt: skip
    assert bench.jobs()[0]["error_code"] == "dead_letter"


async def test_an_outcome_has_the_number_of_its_event(bench: Bench) -> None:
    jobs = await bench.accept(5)
    await bench.say(started(jobs[0]), *(done(job) for job in jobs))
    await bench.settlement.settle_waiting()
    rows = look(bench.store, "SELECT n, payload FROM outbox WHERE subject = 'jobs.completed'")
    told = {job_key(msgspec.json.decode(row["payload"])["data"]["job_id"]): row["n"] for row in rows}
    assert {row["id"]: row["settled_no"] for row in bench.jobs()} == told


async def test_a_result_that_cannot_be_stored_stays_behind_alone(bench: Bench) -> None:
    jobs = await bench.accept(5)
    # The store's integers end at 63 bits.
    await bench.say(done(jobs[0]), done(jobs[1], 2**63), done(jobs[2]), started(jobs[3]), done(jobs[4], 1))
    assert await bench.settlement.settle_waiting() == 5
    assert bench.statuses(*jobs) == ["completed", "pending", "completed", "processing", "completed"]
    assert await bench.broker.pending(DURABLE) == 1
    assert await bench.settlement.settle_waiting() == 0, "it waits"
    await bench.say(done(jobs[1]))
    assert await bench.settlement.settle_waiting() == 1
    assert bench.statuses(jobs[1]) == ["completed"]
    # Then the outcome that could not be stored does not count any more, and is done with.
    bench.clock.advance(UNREADABLE_S)
    assert await bench.settlement.settle_waiting() == 1
    assert await bench.broker.pending(DURABLE) == 0
    assert [subject for subject, _ in bench.events()].count("jobs.completed") == 4


@pytest.mark.parametrize(
    "bad",
    [b"half a mess", b"{}", b'{"job_id":"nobody","attempt":1,"kind":"done","started_at":1,"ended_at":2}'],
    ids=["no JSON", "no outcome", "no id of a job"],
)
async def test_a_result_that_cannot_be_read_stays_behind_alone(bench: Bench, bad: bytes) -> None:
    jobs = await bench.accept(2)
    await bench.say(done(jobs[0]), bad, done(jobs[1]))
    assert await bench.settlement.settle_waiting() == 3
    assert bench.statuses(*jobs) == ["completed", "completed"]
    assert await bench.broker.pending(DURABLE) == 1


async def test_a_result_whose_bytes_are_not_there_yet_comes_again(bench: Bench, tmp_path: Path) -> None:
    jobs = await bench.accept(3)
    digest = await bench.blobs.put(b'{"large":1}')
    path = tmp_path / digest[:2] / digest
    path.unlink()
    large = done(jobs[1], result=msgspec.UNSET, result_sha256=digest)
    for spoil in (lambda: None, path.mkdir):
        spoil()
        await bench.say(done(jobs[0]), large, done(jobs[2]))
        assert await bench.settlement.settle_waiting() == 3
        assert bench.statuses(*jobs) == ["completed", "pending", "completed"]
    path.rmdir()
    await bench.blobs.put(b'{"large":1}')
    bench.clock.advance(2)
    await bench.settlement.settle_waiting()
    assert bench.statuses(jobs[1]) == ["completed"]
    assert await bench.broker.pending(DURABLE) == 0


async def test_an_unknown_job_is_no_obstacle(bench: Bench) -> None:
    (job,) = await bench.accept(1)
    unknown = "job_" + job[4:-1] + ("2" if job[-1] != "2" else "3")
    await bench.say(done(unknown), started(unknown), progress(unknown, 5), done(job))
    assert await bench.settlement.settle_waiting() == 4
    assert bench.statuses(job) == ["completed"]
    assert await bench.broker.pending(DURABLE) == 0


class Forgetful:
    """A broker whose acknowledgements get lost, as those of a process that dies behind its commit."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker, self.lost = broker, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        messages = await self._broker.fetch(durable, batch, wait_s)
        return [Unheard(message) for message in messages] if self.lost else messages  # type: ignore[misc]


class Unheard:
    def __init__(self, message: Message) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    async def ack(self) -> None:
        raise BrokerUnavailable("gone")


async def test_a_death_between_commit_and_acknowledgement_repeats_nothing(bench: Bench) -> None:
    jobs = await bench.accept(4)
    forgetful = Forgetful(bench.broker)
    bench.settlement._broker = forgetful  # type: ignore[assignment]
    retry = done(jobs[3], 1, OutcomeKind.RETRY)
    await bench.say(started(jobs[0]), *(done(job) for job in jobs[:3]), retry)
    with pytest.raises(BrokerUnavailable):
        await bench.settlement.settle_waiting()
    before = bench.jobs(), bench.events(), bench.books()
    assert bench.statuses(*jobs) == ["completed", "completed", "completed", "processing"]
    forgetful.lost = False
    bench.clock.advance(60)
    assert await bench.settlement.settle_waiting() == 5
    assert (bench.jobs(), bench.events(), bench.books()) == before
    assert await bench.broker.pending(DURABLE) == 0


async def test_a_store_that_is_away_leaves_everything_for_later(bench: Bench) -> None:
    jobs = await bench.accept(2)
    await bench.say(*(done(job) for job in jobs))
    bench.store.fault = BrokerUnavailable("the store is away")
    with pytest.raises(BrokerUnavailable):
        await bench.settlement.settle_waiting()
    bench.store.fault = None
    bench.clock.advance(60)
    assert await bench.settlement.settle_waiting() == 2
    assert bench.statuses(*jobs) == ["completed", "completed"]


async def test_a_failure_keeps_the_progress_that_came_with_it(bench: Bench) -> None:
    (job,) = await bench.accept(1)
    await bench.say(started(job), progress(job, 40), progress(job, 30), done(job, 1, OutcomeKind.FAILED))
    await bench.settlement.settle_waiting()
    assert [row["progress"] for row in bench.jobs()] == [40]


async def test_a_job_that_waits_for_another_attempt_can_be_cancelled(bench: Bench) -> None:
    (job,) = await bench.accept(1)
    await bench.say(done(job, 1, OutcomeKind.RETRY))
    await bench.settlement.settle_waiting()
    await bench.store.transact(lambda tx: request_cancel(tx, bench.ids, "acme", job, bench.clock.now_ms()))
    assert await bench.settlement.repeat_cancels() == 1
    assert bench.statuses(job) == ["cancelled"]
    assert bench.told(job) == [(1, "failed", 0, 30, None, "failed")], "no other one follows"
    bench.clock.advance(60)
    assert await bench.settlement.dispatch_due() == 0


async def test_work_that_begins_although_its_job_is_cancelled_is_told_to_stop(bench: Bench) -> None:
    """Its signal came while no worker held it: without another one it would run to its end for nobody."""
    job, other = await bench.accept(2)
    await bench.store.transact(lambda tx: request_cancel(tx, bench.ids, "acme", job, bench.clock.now_ms()))
    told: list[str] = []

    async def hear(subject: str, data: bytes) -> None:
        told.append(subject)

    await bench.broker.listen(CONTROL_CANCEL, hear)
    await bench.say(started(job), started(other))
    await bench.settlement.settle_waiting()
    await asyncio.sleep(0)
    assert told == [cancel_subject(job)]
    assert bench.statuses(job, other) == ["cancelled", "processing"]


async def test_a_crowd_of_results_is_settled_in_parts_so_that_submissions_come_between(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await bench.accept(2 * TOGETHER + 5)
    await bench.say(*map(done, jobs))
    held: list[int] = []
    honest = bench.store.transact

    async def counted(work: Any) -> Any:
        outcome = await honest(work)
        if isinstance(outcome, Settling):
            held.append(len(outcome.settled))
        return outcome

    monkeypatch.setattr(bench.store, "transact", counted)
    assert await bench.settlement.settle_waiting() == len(jobs)
    assert held == [TOGETHER, TOGETHER, 5]
    assert set(bench.statuses(*jobs)) == {"completed"}
    assert await bench.settlement.settle_waiting() == 0, "all of them are acknowledged"


def behind(bench: Bench) -> list[tuple[str, float, float]]:
    """Who says how far it is behind: by how many seconds, and how many jobs it settles a second."""
    rows = look(bench.store, "SELECT * FROM behind ORDER BY owner")
    return [(row["owner"], row["wait_ms"] / 1000, row["per_s"]) for row in rows]


async def test_it_tells_how_long_jobs_waited_for_it_and_when_they_do_no_more(bench: Bench) -> None:
    jobs = await bench.accept(6)

    async def settle(count: int, ran_ms: int) -> None:
        at = bench.clock.now_ms()
        for _ in range(count):
            await bench.say(done(jobs.pop(), started_at=at - ran_ms, ended_at=at))
        assert await bench.settlement.settle_waiting() == count

    await settle(1, 0)
    bench.clock.advance(2)
    await settle(2, 500)
    assert behind(bench) == [], "what waits for its own attempts does not wait for the platform"
    bench.clock.advance(10)
    await settle(2, 0)
    assert behind(bench) == [("settlement", 12.0, 0.2)]
    jobs.extend(await bench.accept(1))
    bench.clock.advance(1)
    await settle(1, 1_000)
    assert behind(bench) == [("settlement", 0.0, 1.0)]
