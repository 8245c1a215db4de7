"""The meter's writers in virtual time: every message once, in files whose names say what they hold."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from simulator.broker.memory import MemoryBroker
from simulator.broker.port import Logged, Outgoing
from simulator.faults.switchboard import ActiveFault, Switchboard
from simulator.faults.wrappers import full_log
from simulator.logfiles import WriteFile, write_file
from simulator.metering import EVENTS_DURABLE, LOOK_AHEAD, REQUESTS_DURABLE, LogWriter, Meter
from simulator.service import in_place
from simulator.telemetry import Telemetry
from zjops.domain.clock import VirtualClock, month_bounds_ms, run_virtual
from zjops.domain.events import DURABLES, EVENTS, STREAMS, TELEMETRY, JobEvent, envelope
from zjops.domain.ids import SeededIds, job_id
from zjops.domain.logfiles import log_files, those_that_count
from zjops.domain.requests import LATENCY_BOUNDS_MS, TELEMETRY_HTTP, rollup_of

NOON_MS = month_bounds_ms("2026-11")[0] + 12 * 3_600_000
MINUTE_S = 60.0


class World:
    """A broker with the streams, a log folder, and meters on them."""

    def __init__(self, folder: Path, clock: VirtualClock, *, keeps: bool) -> None:
        self.folder, self.clock, self.broker = folder, clock, MemoryBroker(clock, keeps=keeps)
        self.ids = SeededIds(clock, 1)
        self.told = io.StringIO()

    def meter(self, write: WriteFile = write_file) -> Meter:
        """A meter that was not started: its steps are taken by hand."""
        return Meter(
            self.broker, self.folder, self.clock, Telemetry("meter", self.clock, self.told), flush_s=1.0,
            requests_flush_s=5.0, idle_s=5.0, offload=in_place, write=write,
        )  # fmt: skip

    async def events(self, count: int) -> None:
        """Tell of that many accepted jobs."""
        for _ in range(count):
            event = JobEvent(
                tenant="acme", plan="pro", job_id=job_id(self.ids.key()), job_type="ml_inference", status="pending",
                accepted_at=self.clock.now_ms(), payload_bytes=1, compute_units=100,
            )  # fmt: skip
            name = self.ids.name()
            data = envelope(name, "acme", "x", event.job_id, self.clock.now_ms(), event, None)
            await self.broker.publish(EVENTS, [Outgoing("jobs.submitted", data, name)])

    async def requests(self, *counts: int, subject: str = TELEMETRY_HTTP) -> None:
        """Publish a second of requests for each count."""
        for count in counts:
            row = rollup_of(
                [count] + [0] * len(LATENCY_BOUNDS_MS), second=self.clock.now_ms() // 1_000, process="api", route="/x",
                method="GET", status=200, plan="pro",
            )  # fmt: skip
            await self.broker.publish(TELEMETRY, [Outgoing(subject, msgspec.json.encode([row]), self.ids.name())])

    def ranges(self, log: str) -> list[tuple[str, int, int]]:
        """The files of a log that count."""
        return [(f.day, f.first, f.last) for f in those_that_count(log_files(self.folder / log))]

    def rows(self, log: str) -> pl.DataFrame:
        """What they hold."""
        return pl.concat([pl.read_parquet(f.path) for f in those_that_count(log_files(self.folder / log))])


class Killed(BaseException):
    """The process ends here."""


def _killed(*_: Any) -> None:
    raise Killed


def _write_and_be_killed(write: Callable[..., Any]) -> Callable[..., Any]:
    def killed(*arguments: Any) -> None:
        write(*arguments)
        raise Killed

    return killed


def _full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def _synced_in_vain() -> Callable[[Path], None]:
    """The file is on the disk, and of its folder that is not sure."""

    def sync(path: Path) -> None:
        if path.is_dir():
            raise OSError(5, "Input/output error")

    return sync


def _play(
    folder: Path, story: Callable[[World], Awaitable[Any]], start_ms: int = NOON_MS, *, keeps: bool = True
) -> World:
    async def whole() -> World:
        world = World(folder, VirtualClock(start_ms), keeps=keeps)
        await world.broker.start()
        await world.broker.ensure(STREAMS, DURABLES)
        await story(world)
        return world

    return run_virtual(whole())


def test_rollups_become_rows_of_the_request_log(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.requests(3, 4)
        assert await world.meter().step(REQUESTS_DURABLE, 0) == 2

    world = _play(tmp_path, story)
    assert world.ranges("requests") == [("2026-11-01", 1, 2)]
    rows = world.rows("requests")
    assert rows["count"].to_list() == [3, 4]
    assert rows["latency_ms_histogram"].to_list()[0] == [3] + [0] * 15
    assert rows["source"].to_list() == ["api", "api"]


def test_what_belongs_to_others_is_passed_over_and_leaves_no_gap_in_the_names(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        meter = world.meter()
        await world.requests(1, subject="telemetry.roles")
        await world.requests(2)
        await world.requests(9, 9, subject="telemetry.roles")
        await world.requests(3)
        await meter.step(REQUESTS_DURABLE, 0)
        await world.requests(9, subject="telemetry.roles")
        await world.requests(4)
        await meter.step(REQUESTS_DURABLE, 0)

    world = _play(tmp_path, story)
    assert world.ranges("requests") == [("2026-11-01", 1, 5), ("2026-11-01", 6, 7)]
    assert world.rows("requests")["count"].to_list() == [2, 3, 4]


def test_what_belongs_to_others_is_told_from_what_is_lost_however_much_it_is(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        meter = world.meter()
        await world.requests(1)
        await meter.step(REQUESTS_DURABLE, 0)
        for _ in range(LOOK_AHEAD):
            await world.requests(9, 9, subject="telemetry.roles")
        await world.requests(2)
        await world.requests(9, subject="telemetry.roles")
        await world.requests(3)
        await meter.step(REQUESTS_DURABLE, 0)

    world = _play(tmp_path, story)
    assert world.ranges("requests") == [("2026-11-01", 1, 1), ("2026-11-01", 2, 2 * LOOK_AHEAD + 4)]
    assert world.rows("requests")["count"].to_list() == [1, 2, 3]
    assert "no longer holds" not in world.told.getvalue()


def test_what_a_killed_meter_had_taken_and_not_written_is_written_at_once_by_the_next(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.events(3)
        killed = asyncio.ensure_future(world.meter().step(EVENTS_DURABLE, 0))
        await world.clock.sleep(0.5)
        killed.cancel()
        await world.events(2)
        assert world.ranges("events") == []
        assert await world.meter().step(EVENTS_DURABLE, 0) == 5

    world = _play(tmp_path, story)
    assert world.ranges("events") == [("2026-11-01", 1, 5)]
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4, 5]
    assert "no longer holds" not in world.told.getvalue()


def test_a_meter_killed_before_its_file_has_its_name_loses_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.events(3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "replace", _killed)
            with pytest.raises(Killed):
                await world.meter().step(EVENTS_DURABLE, 0)
        assert [path.suffix for path in (tmp_path / "events").rglob("*") if path.is_file()] == [".part"]
        await world.events(1)
        await world.meter().step(EVENTS_DURABLE, 0)

    world = _play(tmp_path, story)
    assert world.ranges("events") == [("2026-11-01", 1, 4)]
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4]
    assert len([path for path in (tmp_path / "events").rglob("*") if path.is_file()]) == 1


def test_a_meter_killed_behind_the_rename_doubles_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.events(3)
        killed = world.meter()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LogWriter, "_write", _write_and_be_killed(LogWriter._write))
            with pytest.raises(Killed):
                await killed.step(EVENTS_DURABLE, 0)
        await world.events(1)
        await world.meter().step(EVENTS_DURABLE, 0)
        assert await world.meter().step(EVENTS_DURABLE, 0) == 0
        assert await world.broker.pending(EVENTS_DURABLE) == 0

    world = _play(tmp_path, story)
    assert world.ranges("events") == [("2026-11-01", 1, 3), ("2026-11-01", 4, 4)]
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4]


@pytest.mark.parametrize("keeps", [True, False], ids=["kept streams", "streams that forget"])
def test_a_full_disk_loses_and_doubles_nothing(tmp_path: Path, keeps: bool) -> None:
    async def story(world: World) -> None:
        await world.events(3)
        meter = world.meter()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pl.DataFrame, "write_parquet", _full)
            await meter.start()
            await world.clock.sleep(20.0)
            await world.events(2)
            await world.clock.sleep(20.0)
        assert world.ranges("events") == []
        await world.clock.sleep(20.0)
        await world.events(1)
        await world.clock.sleep(20.0)
        await meter.stop()

    world = _play(tmp_path, story, keeps=keeps)
    assert world.ranges("events") == [("2026-11-01", 1, 5), ("2026-11-01", 6, 6)]
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4, 5, 6]
    levels = {json.loads(line)["level"] for line in world.told.getvalue().splitlines()}
    assert levels == {"warning"}


def test_a_log_that_is_full_for_its_lease_is_whole_afterwards(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        faults = Switchboard(world.clock)
        meter = world.meter(full_log(write_file, faults))
        faults.replace([ActiveFault("a", "log.full", {}, world.clock.now_ms() + 30_000)])
        await meter.start()
        for _ in range(3):
            await world.events(2)
            await world.requests(1)
            await world.clock.sleep(8.0)
        assert world.ranges("events") == world.ranges("requests") == []
        await world.clock.sleep(20.0)
        await meter.stop()

    world = _play(tmp_path, story)
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4, 5, 6]
    assert world.rows("requests")["count"].to_list() == [1, 1, 1]
    said = [json.loads(line) for line in world.told.getvalue().splitlines()]
    assert {line["message"] for line in said} == {"meter waits"}
    assert "No space left on device; free some space" in said[0]["metadata"]["reason"]


def test_a_file_that_was_named_though_it_failed_is_gone_on_from(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.events(3)
        meter = world.meter()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("simulator.logfiles._sync", _synced_in_vain())
            await meter.start()
            await world.clock.sleep(3.0)
        await world.events(2)
        await world.clock.sleep(20.0)
        await meter.stop()

    world = _play(tmp_path, story)
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4, 5]
    assert world.ranges("events") == [("2026-11-01", 1, 3), ("2026-11-01", 4, 5)]


def test_two_meters_write_no_event_twice_and_the_second_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first, second = world.meter(), world.meter()
        await first.start()
        await second.start()
        await world.events(3)
        await world.clock.sleep(20.0)
        await first.stop()
        await world.events(2)
        await world.clock.sleep(20.0)
        await second.stop()

    world = _play(tmp_path, story)
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4, 5]
    assert world.ranges("events") == [("2026-11-01", 1, 3), ("2026-11-01", 4, 5)]
    said = [json.loads(line)["message"] for line in world.told.getvalue().splitlines()]
    assert said == ["another meter writes this log"]


def test_rows_are_gathered_up_to_a_bound_and_the_rest_comes_with_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.metering.FETCH", 4)
    monkeypatch.setattr("simulator.metering.FLUSH_ROWS", 10)

    async def story(world: World) -> None:
        await world.events(30)
        meter, began = world.meter(), world.clock.monotonic()
        assert [await meter.step(EVENTS_DURABLE, 0) for _ in range(2)] == [12, 12]
        assert world.clock.monotonic() == began, "where so much waits, none is waited for"
        assert await meter.step(EVENTS_DURABLE, 0) == 6

    world = _play(tmp_path, story)
    assert [(first, last) for _, first, last in world.ranges("events")] == [(1, 12), (13, 24), (25, 30)]


def test_two_meters_at_once_lose_nothing_and_make_no_hole(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        meters = [world.meter(), world.meter()]
        for meter in meters:
            await meter.start()
            await world.events(7)
            await world.clock.sleep(3.3)
        for _ in range(5):
            await world.events(3)
            await world.clock.sleep(1.7)
        await world.clock.sleep(20.0)
        for meter in meters:
            await meter.stop()

    world = _play(tmp_path, story)
    assert world.rows("events")["stream_seq"].unique().sort().to_list() == list(range(1, 30))
    assert all(first == 1 or first - 1 in {last for _, _, last in world.ranges("events")}
               for _, first, _ in world.ranges("events"))  # fmt: skip
    assert "no longer holds" not in world.told.getvalue()


def test_what_is_missing_inside_the_stream_is_said_and_shows_in_the_names(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.requests(1, 2, 3)
        await world.requests(9, subject="telemetry.roles")
        await world.requests(4, 5)
        del world.broker._server.streams[TELEMETRY].messages[2]
        del world.broker._server.streams[TELEMETRY].messages[5]
        await world.meter().step(REQUESTS_DURABLE, 0)

    world = _play(tmp_path, story)
    assert world.ranges("requests") == [("2026-11-01", 1, 1), ("2026-11-01", 3, 3), ("2026-11-01", 6, 6)]
    assert world.rows("requests")["count"].to_list() == [1, 3, 5]
    said = [json.loads(line) for line in world.told.getvalue().splitlines()]
    assert [(line["level"], line["metadata"]) for line in said] == [("error", {"log": "meter-http", "messages": 2})]


def test_the_log_begins_with_the_oldest_message_that_is_left_and_nothing_is_said(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.requests(1, 2)
        await world.clock.sleep(86_400.0)
        await world.requests(9, subject="telemetry.roles")
        await world.requests(3)
        await world.meter().step(REQUESTS_DURABLE, 0)

    world = _play(tmp_path, story)
    assert world.ranges("requests") == [("2026-11-02", 3, 4)]
    assert world.told.getvalue() == ""


class PassingOver(MemoryBroker):
    """A broker that once does not hand out what it should."""

    passed = False

    async def follow(self, durable: str, after: int, batch: int, wait_s: float) -> list[Logged]:
        found = await super().follow(durable, after, batch, wait_s)
        if len(found) < 3 or self.passed:
            return found
        self.passed = True
        return [found[0], *found[2:]]


def test_what_the_broker_passed_over_is_asked_for_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.broker = PassingOver(world.clock, world.broker)
        await world.broker.start()
        await world.events(4)
        meter = world.meter()
        await meter.start()
        await world.clock.sleep(10.0)
        await meter.stop()

    world = _play(tmp_path, story)
    assert world.ranges("events") == [("2026-11-01", 1, 4)]
    assert world.rows("events")["stream_seq"].to_list() == [1, 2, 3, 4]
    assert "passed over" in world.told.getvalue()


def test_what_the_stream_has_lost_is_said_and_shows_in_the_names(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.requests(1, 2)
        await world.meter().step(REQUESTS_DURABLE, 0)
        await world.requests(3, 4)
        await world.clock.sleep(86_400.0)
        await world.requests(5)
        await world.meter().step(REQUESTS_DURABLE, 0)

    world = _play(tmp_path, story)
    assert world.ranges("requests") == [("2026-11-01", 1, 2), ("2026-11-02", 5, 5)]
    said = [json.loads(line) for line in world.told.getvalue().splitlines()]
    assert [(line["level"], line["metadata"]) for line in said] == [("error", {"log": "meter-http", "messages": 2})]


def test_files_are_cut_at_midnight_and_their_ranges_join(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.events(2)
        await world.clock.sleep(2.0)
        await world.events(3)
        await world.meter().step(EVENTS_DURABLE, 0)

    world = _play(tmp_path, story, NOON_MS + 12 * 3_600_000 - 1_000)
    assert world.ranges("events") == [("2026-11-01", 1, 2), ("2026-11-02", 3, 5)]


def test_rollups_of_another_version_do_not_end_the_meter(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.broker.publish(TELEMETRY, [Outgoing(TELEMETRY_HTTP, b'[{"second":"soon"}]', "old")])
        await world.requests(2)
        assert await world.meter().step(REQUESTS_DURABLE, 0) == 1

    world = _play(tmp_path, story)
    assert world.ranges("requests") == [("2026-11-01", 1, 2)]
    assert "cannot be read" in world.told.getvalue()


def test_what_is_written_is_counted_in_the_metrics_once(tmp_path: Path) -> None:
    telemetry = Telemetry("meter", VirtualClock(NOON_MS), None)

    async def story(world: World) -> None:
        meter = Meter(
            world.broker, tmp_path, world.clock, telemetry, flush_s=1.0, requests_flush_s=5.0, idle_s=5.0,
            offload=in_place,
        )  # fmt: skip
        await world.requests(3, 4)
        await meter.step(REQUESTS_DURABLE, 0)
        await world.clock.sleep(20.0)
        await meter.step(REQUESTS_DURABLE, 0)

    _play(tmp_path, story)
    told = telemetry.metrics_text().decode()
    assert 'slo_events_total{outcome="good",plan="pro",sli="availability"} 7.0' in told
    assert 'slo_events_total{outcome="good",plan="pro",sli="latency-300ms"} 7.0' in told
    assert 'slo_events_total{outcome="bad",plan="pro",sli="availability"} 0.0' in told
