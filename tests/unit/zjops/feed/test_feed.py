"""The feed: nothing that is counted is lost, sources that go away and come back, the same numbers live and replayed."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.zjops.client.test_clients import CONTEXT
from tests.unit.zjops.client.test_standing import QUIET
from tests.unit.zjops.recording.told import START, answered, job_id, life
from zjops.client.admin import Admin
from zjops.client.events import Heard
from zjops.client.http import Http, Outage
from zjops.domain.clock import Clock, ManualClock, SystemClock, VirtualClock, run_virtual
from zjops.domain.errors import FileUnavailable, UsageError
from zjops.domain.events import JobEvent, OpsEvent, envelope
from zjops.domain.requests import rollup_of
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_chain import BatchPage, BatchView
from zjops.feed.broker import put
from zjops.feed.feed import EASY, RARELY, Feed, Intake
from zjops.feed.messages import RECORDING, Pulse, Stale
from zjops.feed.playback import Playback
from zjops.feed.polling import Poll, Read, _Batches, _Questions
from zjops.feed.readings import CHAIN_HEAD, PLATFORM, ChainHead
from zjops.recording.changes import ACTS_MOST, REQUESTS_MOST, STAGES, Changes
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder
from zjops.recording.rows import Act
from zjops.recording.rows import Outage as Away
from zjops.recording.standin import StandIn
from zjops.tui.health import Health, Level
from zjops.tui.moment import Instant
from zjops.tui.pipeline import facts_of, stages_of

STATE = PlatformState(
    active_jobs=1, unpublished=0, oldest_unpublished_ms=None, open_batches=0, dead_letters=0, relayer_paused=False,
    loop_lag_seconds=0.1, versions=[{"version": "v1"}],
)  # fmt: skip


LATER = formatdate(START // 1000 + 300, usegmt=True)


class Script:
    """A source that does what it is told at its times (s)."""

    def __init__(self, clock: Clock, *acts: tuple[float, Callable[[Intake], None]]) -> None:
        self._clock, self._acts = clock, acts

    async def run(self, intake: Intake) -> None:
        begun = self._clock.monotonic()
        for at_s, act in self._acts:
            await self._clock.sleep(begun + at_s - self._clock.monotonic())
            act(intake)


def _run(seconds: float, make: Callable[[Clock], Any], **options: Any) -> list[Pulse]:
    """The pulses of so many seconds of virtual time."""

    async def main() -> list[Pulse]:
        clock, posted = VirtualClock(START), []
        feed = Feed([make(clock)], clock, posted.append, **options)
        running = asyncio.create_task(feed.run())
        await clock.sleep(seconds + 0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return posted

    return run_virtual(main())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(STAGES), st.integers(1, 5)), max_size=40))
def test_every_event_is_in_exactly_one_pulse(told: list[tuple[float, str, int]]) -> None:
    def act(kind: str, times: int) -> Callable[[Intake], None]:
        def puts(intake: Intake) -> None:
            for _ in range(times):
                intake.changes.event(kind, START, _event(), None)

        return puts

    acts = [(at, act(kind, times)) for at, kind, times in sorted(told, key=lambda one: one[0])]
    pulses = _run(4, lambda clock: Script(clock, *acts))
    wanted: Counter[str] = Counter()
    for _, kind, times in told:
        wanted[kind] += times
    found: Counter[str] = Counter()
    for pulse in pulses:
        found.update(pulse.events)
    assert +found == wanted


def test_a_flood_is_told_at_the_rate_of_the_ticks() -> None:
    def flood(intake: Intake) -> None:
        for _ in range(10_000):
            intake.changes.event("submitted", START, _event(), None)

    pulses = _run(2, lambda clock: Script(clock, (0.1, flood), (0.2, flood)))
    assert [pulse.events["submitted"] for pulse in pulses] == [20_000, 0, 0, 0, 0, 0, 0, 0]


def test_a_source_that_goes_away_is_told_with_reason_and_time_until_it_is_back() -> None:
    pulses = _run(3, lambda clock: Script(
        clock, (0.3, lambda i: i.stale("chain", "refused")), (0.9, lambda i: i.stale("chain", "timed out")),
        (1.6, lambda i: i.fresh("chain")),
    ))  # fmt: skip
    stale = [pulse.stale for pulse in pulses]
    assert stale[0] == ()
    assert stale[1] == (Stale("chain", "refused", START + 300),)
    assert stale[4] == (Stale("chain", "timed out", START + 300),)
    assert stale[6] == ()


def test_whoever_ends_it_in_the_middle_of_a_write_loses_nothing_and_never_writes_twice_at_once() -> None:
    class Slow:
        """A writer whose first write lasts until the test lets it go on."""

        def __init__(self) -> None:
            self.begun, self.go_on = threading.Event(), threading.Event()
            self.written: list[int] = []
            self.busy = self.closed = False

        def write(self, changes: Changes, now_ms: int) -> None:
            assert not self.busy, "two writes at once"
            assert not self.closed
            self.busy = True
            self.begun.set()
            assert self.go_on.wait(10)
            self.written.append(changes.counts()["submitted"])
            self.busy = False

        def close(self) -> None:
            assert not self.busy, "closed under a write"
            self.closed = True

    async def main() -> Slow:
        writer = Slow()
        feed = Feed([], SystemClock(), lambda pulse: None, writer, every_s=0.0)
        feed.intake.changes.event("submitted", START, _event(), None)
        running = asyncio.create_task(feed.run())
        await asyncio.to_thread(writer.begun.wait, 10)
        feed.intake.changes.event("submitted", START, _event(), None)
        running.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not running.done(), "the write that was begun is waited for"
        writer.go_on.set()
        await asyncio.gather(running, return_exceptions=True)
        return writer

    writer = asyncio.run(main())
    assert (writer.written, writer.closed) == ([1, 1], True)


def test_a_platform_whose_clock_is_ahead_is_believed() -> None:
    ahead = START + 60_000
    pulses = _run(0.5, lambda clock: Script(
        clock, (0.1, lambda i: i.changes.event("submitted", ahead, _event(), None))
    ))  # fmt: skip
    assert (pulses[0].at_ms, pulses[0].late_ms) == (ahead, 250 - 60_000)
    assert (pulses[1].at_ms, pulses[1].late_ms) == (START + 500, None)


class Refusing:
    """A disk that is full for a while."""

    def __init__(self) -> None:
        self.full, self.written, self.held, self.closed = True, Counter[str](), Counter[str](), False
        self.offered = 0

    def write(self, changes: Changes, now_ms: int) -> None:
        self.offered += 1
        if self.full:
            raise FileUnavailable("the disk is full", "recording")
        self.written.update(changes.counts())

    def hold(self, changes: Changes, now_ms: int) -> None:
        self.held.update(changes.counts())

    def close(self) -> None:
        self.closed = True


async def test_a_full_disk_is_told_and_nothing_is_lost_by_it() -> None:
    disk, posted = Refusing(), []
    feed = Feed([], ManualClock(START), posted.append, disk)
    for _ in range(3):
        feed.intake.changes.event("submitted", START, _event(), None)
        await feed.tick()
    assert [stale.reason for stale in posted[-1].stale] == ["the disk is full"]
    feed.intake.changes.event("submitted", START, _event(), None)
    disk.full = False
    await feed.tick()
    assert (disk.written["submitted"], disk.held["submitted"]) == (4, 3)
    assert sum(pulse.events["submitted"] for pulse in posted) == 4
    assert posted[-1].stale == ()


async def test_what_waits_for_a_full_disk_is_offered_rarely_once_it_is_much_and_at_the_end() -> None:
    disk = Refusing()
    feed = Feed([], ManualClock(START), lambda pulse: None, disk)
    for _ in range(EASY + 1):
        feed.intake.changes.event("submitted", START, _event(), None)
    for _ in range(2 * RARELY):
        await feed.tick()
    assert disk.offered == 1 + 2
    assert disk.held["submitted"] == EASY + 1, "each once"
    disk.full = False
    await feed._finish()
    assert disk.written["submitted"] == EASY + 1


async def test_it_is_offered_rarely_whatever_it_is_that_there_is_much_of() -> None:
    disk = Refusing()
    feed = Feed([], ManualClock(START), lambda pulse: None, disk)
    for number in range(EASY + 1):
        feed.intake.changes.reading(PLATFORM, START + number, number)
    for _ in range(2 * RARELY):
        await feed.tick()
    assert disk.offered == 1 + 2


class Impatient:
    """A lock that whoever would have to wait for it finds broken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        assert self._lock.acquire(blocking=False)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class TestFullDisk:
    """A recording whose disk is full: it is said which and why, live figures go on, and it recovers alone."""

    @pytest.fixture
    def recorder(self, tmp_path: Path) -> Iterator[Recorder]:
        recorder = Recorder(tmp_path / "r.zjrec", {"context": "local"})
        recorder.reader = Recording(recorder.path)
        yield recorder
        recorder.reader.close()
        recorder.close()

    def _fill(self, recorder: Recorder) -> None:
        (pages,) = recorder._db.execute("PRAGMA page_count").fetchone()
        recorder._db.execute(f"PRAGMA max_page_count = {pages}")

    def _free(self, recorder: Recorder) -> None:
        recorder._db.execute("PRAGMA max_page_count = 1000000")

    def _second(self, intake: Intake, number: int, jobs: int = 20) -> None:
        at = START + number * 1_000
        for job in range(number * jobs, (number + 1) * jobs):
            life(intake.changes, job, accepted=at, started=at + 1, ended=at + 2)
        head = ChainHead(height=number, made_s=at // 1000, base_fee_wei=7)
        intake.changes.reading(CHAIN_HEAD, at, head)
        intake.changes.reading(PLATFORM, at, STATE)

    async def test_live_figures_go_on_and_everything_is_written_later(self, recorder: Recorder) -> None:
        clock, posted, seen = ManualClock(START), list[Pulse](), recorder.reader
        assert seen is not None
        feed = Feed([], clock, posted.append, recorder)
        for number in range(60):
            if number == 5:
                self._fill(recorder)
            self._second(feed.intake, number)
            clock.advance(1)
            await feed.tick()
            if number == 40:
                stages = {one.name: one for one in stages_of(facts_of(seen, Instant(clock.now_ms(), 300, True)))}
                assert stages["chain"].health == Health(Level.OK, "block 40"), "it is the disk that fails"
                assert stages["workers"].per_s == 20
                (stale,) = posted[-1].stale
                assert stale.reason == (
                    f"recording {recorder.path} cannot be written (database or disk is full); "
                    "what is shown comes from memory until it can be"
                )  # fmt: skip
                assert seen.held() == 41 * 20
            if number == 50:
                self._free(recorder)
        assert posted[-1].stale == ()
        assert seen.stand_in is None
        rows = seen.series(START // 1000, START // 1000 + 60)
        assert [row.completed for row in rows] == [20] * 60, "each once"
        assert seen.count(clock.now_ms()) == 60 * 20
        heads = [head.height for _, head in seen.readings(CHAIN_HEAD, clock.now_ms(), ChainHead)]
        assert heads == list(range(60)), "also what was read meanwhile"
        (span,) = seen.outage_spans(clock.now_ms())
        assert (span[0].source, span[1]) == (RECORDING, START + 52_000)

    async def test_how_much_waited_meanwhile_is_written_later_too(self, recorder: Recorder) -> None:
        clock, seen = ManualClock(START), recorder.reader
        assert seen is not None
        feed = Feed([], clock, lambda pulse: None, recorder)
        for number in range(30):
            {5: self._fill, 20: self._free}.get(number, lambda _: None)(recorder)
            self._second(feed.intake, number)
            clock.advance(1)
            await feed.tick()
        waited = [jobs for _, stage, jobs in seen.depth_series(START, clock.now_ms()) if stage == "completed"]
        assert waited == [20 * number for number in range(1, 31)]

    @pytest.mark.parametrize("ends", [False, True], ids=["it goes on", "it ends"])
    async def test_jobs_of_which_events_were_let_go_are_written_as_they_were_seen(
        self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, ends: bool
    ) -> None:
        monkeypatch.setattr("zjops.feed.feed.HELD_MOST", 30)
        clock, seen = ManualClock(START), recorder.reader
        assert seen is not None
        feed = Feed([], clock, lambda pulse: None, recorder)
        life(feed.intake.changes, 1000, accepted=START)
        for number in range(20):
            if number == 3:
                self._fill(recorder)
            self._second(feed.intake, number)
            clock.advance(1)
            await feed.tick()
        life(feed.intake.changes, 1000, accepted=START, ended=clock.now_ms())
        self._free(recorder)
        await (feed._finish() if ends else feed.tick())
        at = clock.now_ms()
        assert (seen.states(at), seen.stand_in) == ({"completed": 401}, None)
        assert seen._ask("SELECT DISTINCT state FROM jobs", ()) == [("completed",)], "what came last counts"

    async def test_the_recording_can_be_read_while_its_stand_in_is_made(
        self, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = recorder.reader
        assert seen is not None
        made = StandIn._fill

        def filled(self: StandIn, path: Path, now_ms: int) -> None:
            assert seen.held() == 0
            made(self, path, now_ms)

        monkeypatch.setattr(StandIn, "_fill", filled)
        monkeypatch.setattr(seen, "lock", Impatient())
        recorder.hold(Changes(), START)
        assert seen.stand_in is not None

    async def test_what_is_not_told_twice_is_written_after_it_was_taken_back(self, recorder: Recorder) -> None:
        self._fill(recorder)
        feed = Feed([], ManualClock(START), lambda pulse: None, recorder)
        self._second(feed.intake, 0, jobs=500)
        await feed.tick()
        self._free(recorder)
        await feed.tick()
        assert recorder.reader is not None
        assert recorder.reader.reading(PLATFORM, START, PlatformState) is not None

    async def test_whoever_only_records_keeps_nothing_to_show(self, recorder: Recorder) -> None:
        recorder.reader, reader = None, recorder.reader
        assert reader is not None
        self._fill(recorder)
        posted: list[Pulse] = []
        feed = Feed([], ManualClock(START), posted.append, recorder)
        self._second(feed.intake, 0, jobs=500)
        await feed.tick()
        (stale,) = posted[-1].stale
        assert stale.reason == f"recording {recorder.path} cannot be written (database or disk is full)"
        assert recorder._stand_in is None
        recorder.reader = reader

    async def test_it_may_end_while_the_disk_is_full(self, recorder: Recorder) -> None:
        self._fill(recorder)
        feed = Feed([], ManualClock(START), lambda pulse: None, recorder)
        self._second(feed.intake, 0, jobs=500)
        await feed.tick()
        await feed._finish()
        assert recorder.reader is not None
        assert recorder.reader.count(START + 10) == 0, "the file is whole, without what it could not take"


def test_of_what_waits_for_the_disk_only_what_changes_something_is_kept() -> None:
    changes = Changes()
    for number, state in enumerate(("sent", "mined", "mined", "final")):
        changes.batch(batch_view(7, state), START + number)
        changes.reading("platform", START + number, {"depth": number // 2})
        changes.event("submitted", START, _event(), None)
        changes.outages.append((Away("chain", START, f"refused {number}"), START + number if number else None))
        for second in range(REQUESTS_MOST // 2):
            changes.requests[(number * REQUESTS_MOST + second, "api", "pro")] = [1]
    changes.acts += [Act(at, "action", "ops", "pause", None, None) for at in range(ACTS_MOST + 1)]
    changes.condense(3)
    assert changes.outages == [(Away("chain", START, "refused 3"), START + 3)]
    assert len(changes.requests) == REQUESTS_MOST
    assert min(changes.requests)[0] == 2 * REQUESTS_MOST, "the newest"
    assert (len(changes.acts), changes.acts[0].at) == (ACTS_MOST, 1)
    assert [(row[2], row[5]) for row in changes.batches] == [("final", START + 1)]
    assert [(at, body) for _, at, body in changes.readings] == [(START, '{"depth":0}'), (START + 2, '{"depth":1}')]
    assert len(changes.jobs) == 3
    assert changes.counts()["submitted"] == 4


def _event() -> JobEvent:
    return JobEvent(
        tenant="acme", plan="pro", job_id=job_id(1), job_type="ml_inference", status="pending", accepted_at=START,
        payload_bytes=1, compute_units=1,
    )  # fmt: skip


class TestMessages:
    """What comes from the broker."""

    def test_of_jobs(self) -> None:
        intake = Intake(ManualClock(START))
        trace = "00-cdae967f07f151ab0792d50f39e7546e-6021afbe8114f7f1-01"
        data = envelope("id", "acme", "ai.zama.jobs.job.submitted.v1", job_id(1), START, _event(), trace)
        put(Heard("EVENTS", 1, "jobs.submitted", data), intake)
        assert intake.changes.counts()["submitted"] == 1
        assert intake.changes.jobs[0][0] == job_id(1)
        assert intake.changes.jobs[0][-1] == "cdae967f07f151ab0792d50f39e7546e"

    def test_of_operators(self) -> None:
        intake = Intake(ManualClock(START))
        act = OpsEvent(kind="relayer", actor="ada", action="relayer.pause", reason="drill")
        put(Heard("OPS", 1, "ops.relayer", envelope("id", "x", "t", "s", START, act, None)), intake)
        assert [(a.at, a.actor, a.action, a.reason) for a in intake.changes.acts] == [
            (START, "ada", "relayer.pause", "drill")
        ]

    def test_of_answered_requests(self) -> None:
        intake = Intake(ManualClock(START))
        rows = [
            rollup_of([1] * 16, second=5, process=name, route="/v1/jobs", method="GET", status=status, plan="pro")
            for name, status in (("a", 200), ("b", 503))
        ]
        put(Heard("TELEMETRY", 1, "telemetry.http", msgspec.json.encode(rows)), intake)
        (sums,) = intake.changes.requests.values()
        assert sums[:4] == [32, 16, 0, 17]
        assert sums[6:] == [2] * 16

    @pytest.mark.parametrize(
        ("subject", "data"),
        [("jobs.submitted", b"{"), ("jobs.unheard", b"{}"), ("telemetry.http", b"{}"), ("ops.tenant", b"[]")],
    )
    def test_that_mean_nothing_are_refused(self, subject: str, data: bytes) -> None:
        with pytest.raises((msgspec.MsgspecError, ValueError, KeyError)):
            put(Heard("EVENTS", 1, subject, data), Intake(ManualClock(START)))


class Door:
    """A client of an API that can be killed; it counts how often it was made."""

    def __init__(self) -> None:
        self.dead, self.made, self.http = False, 0, self

    def close(self) -> None:
        return None

    def open(self, context: Any) -> Door:
        self.made += 1
        return self

    def ask(self, client: Any) -> list[Read]:
        if self.dead:
            raise Outage("http://x does not answer (refused); is it up?", "refused")
        return [Read("platform", STATE)]


async def test_a_poll_goes_on_with_a_fresh_client_after_an_outage() -> None:
    door, clock = Door(), Steps()
    poll = Poll("API", 1.0, lambda: CONTEXT, clock, door.open, door.ask)
    intake = Intake(clock)
    running = asyncio.create_task(poll.run(intake))
    await clock.step()
    assert [kind for kind, _, _ in intake.take().readings] == ["platform"]
    door.dead = True
    await clock.step()
    assert intake.stale_by["API"].reason == "refused"
    await clock.step()
    door.dead = False
    await clock.step()
    assert intake.stale_by == {}
    assert door.made == 3
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("wrong", [KeyError("number"), TypeError("int() of None"), msgspec.ValidationError("no")])
async def test_an_answer_that_cannot_be_read_is_told_and_asked_for_again(wrong: Exception) -> None:
    clock, answers = Steps(), [wrong, None]

    def ask(client: Any) -> list[Read]:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return [Read("platform", STATE)]

    intake = Intake(clock)
    running = asyncio.create_task(Poll("chain", 1.0, lambda: CONTEXT, clock, Door().open, ask).run(intake))
    await clock.step()
    assert "an answer cannot be read" in intake.stale_by["chain"].reason
    await clock.step()
    assert intake.stale_by == {}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_whoever_hears_a_pulse_and_fails_ends_it_with_that_very_error() -> None:
    def heard(pulse: Pulse) -> None:
        raise UsageError("the recording is damaged")

    with pytest.raises(UsageError, match="damaged"):
        await Feed([], SystemClock(), heard, every_s=0.001).run()


class Steps(ManualClock):
    """A clock on which a sleeper waits until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__(START)
        self._asleep, self._go = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        self._asleep.set()
        await self._go.wait()
        self._go.clear()

    async def step(self) -> None:
        """Let a round be done."""
        if self._asleep.is_set():
            self._asleep.clear()
            self._go.set()
        await self._asleep.wait()


def test_the_operators_door_is_asked_for_what_is_slow_to_change_less_often() -> None:
    asked: Counter[str] = Counter()

    def answer(request: httpx2.Request) -> httpx2.Response:
        name = request.url.path.rpartition("/")[2]
        asked[name] += 1
        body = {
            "platform": STATE, "relayer": QUIET, "batches": BatchPage(batches=[], next=None),
            "tenants": {"tenants": []},
        }[name]  # fmt: skip
        return httpx2.Response(200, content=msgspec.json.encode(body), headers={"Date": LATER})

    questions = _Questions(ManualClock(START))
    admin = Admin(CONTEXT, Http("http://x", transport=httpx2.MockTransport(answer)))
    for _ in range(20):
        reads = questions(admin)
    assert asked == {"platform": 20, "relayer": 20, "batches": 10, "tenants": 2}
    assert [read.kind for read in reads] == ["clock", "platform", "relayer"]
    assert abs(reads[0].body - 300_000) < 1_000, "its clock is five minutes ahead"


def _door(states: list[str], asked: list[str]) -> Admin:
    """Operators' door to a platform with these batches, from number 1 on."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        given = dict(request.url.params)
        asked.append("&".join(f"{name}={value}" for name, value in sorted(given.items())))
        found = [
            batch_view(number, state) for number, state in enumerate(states, 1)
            if number < int(given.get("before", 10**9)) and given.get("state", state) == state
        ][::-1]  # fmt: skip
        limit = int(given["limit"])
        page = BatchPage(batches=found[:limit], next=found[limit - 1].batch_id if len(found) >= limit else None)
        return httpx2.Response(200, content=msgspec.json.encode(page))

    return Admin(CONTEXT, Http("http://x", transport=httpx2.MockTransport(answer)))


def batch_view(number: int, state: str) -> BatchView:
    return BatchView(
        batch_id=number, first_sequence=number, count=1, root="0x", state=state,  # type: ignore[arg-type]
        closed_at="2026-11-26T08:00:00Z", sent_at=None, final_at=None, tx_hash=None, block_number=None, block_hash=None,
        gas_used=None, gas_price_wei=None,
    )  # fmt: skip


def test_every_open_batch_is_read_and_what_became_of_each(tmp_path: Path) -> None:
    states, asked, batches = (
        ["final"] * 1_000 + ["mined"] * 5 + ["sent"] * 5 + ["closed"] * 1_990,
        list[str](),
        _Batches(),
    )
    admin = _door(states, asked)
    found = {one.batch_id: one.state for one in batches.read(admin, 2_000).batches}
    assert found == {number: state for number, state in enumerate(states, 1) if state != "final"}
    assert len(asked) == 5, "closed ones are two pages"
    states[1_000:2_900] = ["final"] * 1_900
    asked.clear()
    found = {one.batch_id: one.state for one in batches.read(admin, 100).batches}
    assert [found[number] for number in range(1_001, 3_001)] == states[1_000:], "also those that nobody calls new"
    states[2_900:] = ["final"] * 100
    batches.read(admin, 0)
    asked.clear()
    assert len(batches.read(admin, 0).batches) == 50
    assert asked == ["limit=50"], "when all is well, the newest page and no more"


def test_batches_of_a_platform_that_was_before_are_forgotten() -> None:
    states, batches = ["closed"] * 100, _Batches()
    batches.read(_door(states, []), 100)
    assert len(batches.read(_door(["final"] * 3, []), 0).batches) == 3
    asked: list[str] = []
    batches.read(_door(["final"] * 3, asked), 0)
    assert asked == ["limit=50"]


class TestPlayback:
    """A recording plays as it was."""

    @pytest.fixture
    def recording(self, tmp_path: Path) -> Recording:
        recorder = Recorder(tmp_path / "r.zjrec", {})
        for second in range(10):
            changes, at = Changes(), START + second * 1000
            life(changes, second, accepted=at, started=at, ended=at + 1)
            answered(changes, START // 1000 + second, count=second + 1)
            answered(changes, START // 1000 + second, status=500)
            if second == 4:
                intake = Intake(ManualClock(at))
                intake.stale("API", "refused")
                changes.outages = intake.changes.outages
            if second == 6:
                intake = Intake(ManualClock(at))
                intake.stale("API", "refused", START + 4_000)
                intake.fresh("API")
                changes.outages = intake.changes.outages
            recorder.write(changes, at)
        recorder.close()
        return Recording(tmp_path / "r.zjrec")

    @pytest.mark.parametrize("speed", [1.0, 7.0, 1000.0])
    def test_with_the_same_numbers_at_any_speed(self, recording: Recording, speed: float) -> None:
        pulses = _run(12 / speed + 1, lambda clock: Playback(recording, clock, speed=speed))
        assert sum(pulse.events["submitted"] for pulse in pulses) == 10
        assert sum(pulse.requests for pulse in pulses) == 55 + 10
        assert sum(pulse.bad for pulse in pulses) == 10
        assert pulses[-1].ended
        assert pulses[-1].at_ms == recording.span()[1]  # type: ignore[index]

    def test_with_its_outages(self, recording: Recording) -> None:
        pulses = _run(9, lambda clock: Playback(recording, clock))
        away = [pulse.at_ms - START for pulse in pulses if pulse.stale]
        assert (min(away) // 1000, max(away) // 1000) == (4, 5)
        assert {stale.since_ms for pulse in pulses for stale in pulse.stale} == {START + 4_000}

    def test_from_a_moment_on(self, recording: Recording) -> None:
        pulses = _run(20, lambda clock: Playback(recording, clock, from_ms=START + 7_000))
        assert sum(pulse.events["submitted"] for pulse in pulses) == 3

    def test_that_turns_out_to_be_damaged_is_stale_to_its_end(self, recording: Recording) -> None:
        db = sqlite3.connect(recording.path)
        db.execute("UPDATE requests SET histogram = '{' WHERE second = ?", (START // 1000 + 9,))
        db.commit()
        db.close()
        pulses = _run(12, lambda clock: Playback(recording, clock))
        assert pulses[-1].ended
        assert [stale.source for stale in pulses[-1].stale] == [RECORDING]
        assert "requests cannot be read" in pulses[-1].stale[0].reason
