"""Compaction on real files: the same rows before, during and after, wherever it is interrupted."""

from __future__ import annotations

import io
import itertools
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from simulator.compaction import Compactor, fold_to_minutes
from simulator.logfiles import REQUEST_SCHEMA, write_file
from simulator.metering import EVENT_SCHEMA, OPS_SCHEMA
from simulator.policy.compaction import KEEP_REPLACED_MS
from simulator.service import in_place
from simulator.telemetry import Telemetry
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import ManualClock, month_bounds_ms
from zjops.domain.logfiles import FOLDED, PROBER_FIRST, log_files, name_of, those_that_count
from zjops.domain.requests import LATENCY_BOUNDS_MS

START_MS = month_bounds_ms("2026-11")[0]
DAY, HOUR_S, DAY_S = "2026-11-01", 3_600, 86_400
WIDTH = len(LATENCY_BOUNDS_MS) + 1


class Killed(BaseException):
    """What stands for the end of the process."""


class World:
    """A log folder, a clock, and compactors on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.told = folder, ManualClock(START_MS), io.StringIO()

    def compactor(self) -> Compactor:
        """A compactor that knows nothing of an earlier one."""
        telemetry = Telemetry("meter", self.clock, self.told)
        return Compactor(self.folder, self.clock, telemetry, every_s=300, offload=in_place)

    def at(self, day: int, hour: float = 0) -> None:
        """Let it be that time."""
        self.clock.ms = START_MS + day * DAY_S * 1_000 + hour * HOUR_S * 1_000

    def events(self, first: int, count: int, hour: float) -> None:
        """A file of events as the meter writes them."""
        rows = [
            {"event_id": n.to_bytes(16, "big"), "outbox_no": n, "stream_seq": n, "type": "completed",
             "time": START_MS + round(hour * HOUR_S * 1_000) + n, "tenant": f"t{n % 3}", "plan": "pro", "attempt": 1}
            for n in range(first, first + count)
        ]  # fmt: skip
        self._write("events", pl.DataFrame(rows, schema=EVENT_SCHEMA), "events", first, first + count - 1)

    def requests(self, first: int, seconds: range, prefix: str = "requests") -> None:
        """A file of requests, a message a second, each of two routes."""
        rows = [
            {"second": START_MS // 1_000 + second, "process": "api", "source": "api", "route": route, "method": "GET",
             "status": 200, "plan": "pro", "count": second % 7 + 1, "within_300ms": second % 7, "within_500ms": 1,
             "errors_5xx": 0, "timeouts": second % 2,
             "latency_ms_histogram": [(second + n) % 3 for n in range(WIDTH)]}
            for second in seconds for route in ("/a", "/b")
        ]  # fmt: skip
        self._write("requests", pl.DataFrame(rows, schema=REQUEST_SCHEMA), prefix, first, first + len(seconds) - 1)

    def _write(self, log: str, frame: pl.DataFrame, prefix: str, first: int, last: int) -> None:
        write_file(frame, self.folder / log / f"date={DAY}", prefix, first, last)

    def names(self, log: str = "events") -> list[str]:
        """The files that count, shortly."""
        files = those_that_count(log_files(self.folder / log))
        return [f"{file.prefix} {file.first}-{file.last}" for file in files]

    def all_names(self, log: str = "events") -> int:
        """How many files there are, those that were replaced among them."""
        return len(log_files(self.folder / log))

    def rows(self, log: str = "events") -> list[tuple[Any, ...]]:
        """What a reader reads, in order."""
        files = those_that_count(log_files(self.folder / log))
        return pl.concat([pl.read_parquet(file.path) for file in files]).rows() if files else []


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_hours_and_then_the_day_become_one_file_of_the_same_rows(world: World) -> None:
    for n in range(12):
        world.events(n * 5 + 1, 5, n / 4)
    before = world.rows()
    compactor = world.compactor()
    world.at(0, 1.5)
    assert await compactor.tidy() == 1
    assert world.names()[:2] == ["events 1-20", "events 21-25"]
    world.at(0, 5)
    assert await compactor.tidy() == 2
    assert world.names() == ["events 1-20", "events 21-40", "events 41-60"]
    world.at(1, 1)
    assert await compactor.tidy() == 1
    assert world.names() == ["events 1-60"]
    assert world.rows() == before
    assert await compactor.tidy() == 0


async def test_replaced_files_stay_ten_minutes_for_those_who_read_them(world: World) -> None:
    for n in range(3):
        world.events(n * 5 + 1, 5, 0.5)
    world.at(0, 2)
    compactor = world.compactor()
    await compactor.tidy()
    assert world.all_names() == 4
    await compactor.tidy()
    world.clock.advance(KEEP_REPLACED_MS / 1_000 - 1)
    await compactor.tidy()
    assert world.all_names() == 4
    world.clock.advance(1)
    await compactor.tidy()
    assert world.all_names() == 1
    assert len(world.rows()) == 15


async def test_a_successor_begins_the_ten_minutes_anew(world: World) -> None:
    for n in range(3):
        world.events(n * 5 + 1, 5, 0.5)
    world.at(0, 2)
    await world.compactor().tidy()
    world.clock.advance(3_600)
    await world.compactor().tidy()
    assert world.all_names() == 4


async def test_a_merged_file_that_cannot_be_read_costs_nothing(world: World) -> None:
    for n in range(3):
        world.events(n * 5 + 1, 5, 0.5)
    world.at(0, 2)
    await world.compactor().tidy()
    merged = those_that_count(log_files(world.folder / "events"))[0].path
    merged.write_bytes(b"PAR1")
    successor = world.compactor()
    await successor.tidy()
    world.clock.advance(3_600)
    await successor.tidy()
    assert world.all_names() == 4
    assert "cannot be read" in world.told.getvalue()


async def test_a_damaged_file_is_told_of_once_and_left_alone_with_its_neighbours_merged(world: World) -> None:
    for n in range(5):
        world.events(n * 5 + 1, 5, 0.5)
    log_files(world.folder / "events")[2].path.write_bytes(b"torn")
    world.at(0, 2)
    compactor = world.compactor()
    assert await compactor.tidy() == 2
    await compactor.tidy()
    assert world.names() == ["events 1-10", "events 11-15", "events 16-25"]
    assert world.told.getvalue().count("cannot be read") == 1


async def test_columns_that_a_later_version_added_are_empty_for_the_earlier_rows(world: World) -> None:
    world.events(1, 5, 0.1)
    later = pl.DataFrame(
        [{"event_id": bytes(16), "outbox_no": 6, "stream_seq": 6, "time": START_MS, "added": 7}],
        schema=EVENT_SCHEMA | {"added": pl.Int64()},
    )
    world._write("events", later, "events", 6, 6)
    world.at(0, 2)
    assert await world.compactor().tidy() == 1
    (file,) = those_that_count(log_files(world.folder / "events"))
    assert pl.read_parquet(file.path)["added"].to_list() == [None] * 5 + [7]


def _sums(rows: list[tuple[Any, ...]]) -> Counter[Any]:
    """Requests by the minute and route, with every count, however they are cut into rows."""
    found: Counter[Any] = Counter()
    names = list(REQUEST_SCHEMA)
    for values in rows:
        row = dict(zip(names, values, strict=True))
        whose = (row["second"] // 60, row["source"], row["route"], row["plan"], row["status"])
        for name in ("count", "within_300ms", "within_500ms", "errors_5xx", "timeouts"):
            found[whose, name] += row[name]
        for index, count in enumerate(row["latency_ms_histogram"]):
            found[whose, index] += count
    return found


async def test_requests_are_folded_to_minutes_a_day_after_their_day(world: World) -> None:
    for n in range(6):
        world.requests(n * 50 + 1, range(n * 50, n * 50 + 50))
    before = world.rows("requests")
    world.at(1, 1)
    compactor = world.compactor()
    await compactor.tidy()
    assert world.names("requests") == ["requests 1-300"]
    assert world.rows("requests") == before
    world.at(2, 0)
    await compactor.tidy()
    assert world.names("requests") == [f"{FOLDED} 1-300"]
    folded = world.rows("requests")
    assert len(folded) == 5 * 2
    assert _sums(folded) == _sums(before)
    assert await compactor.tidy() == 0
    world.at(2, 1)
    await compactor.tidy()
    assert world.all_names("requests") == 1


async def test_the_probers_files_are_merged_beside_those_of_the_stream(world: World) -> None:
    for n in range(4):
        world.requests(n * 50 + 1, range(n * 50, n * 50 + 50))
        world.requests(PROBER_FIRST + n * 50, range(n * 50, n * 50 + 50), prefix="prober")
    before = _sums(world.rows("requests"))
    world.at(0, 2)
    await world.compactor().tidy()
    assert world.names("requests") == ["requests 1-200", f"prober {PROBER_FIRST}-{PROBER_FIRST + 199}"]
    assert _sums(world.rows("requests")) == before


def test_rows_that_count_by_other_boundaries_are_folded_by_themselves() -> None:
    row = {"second": 61, "process": "api", "source": "api", "route": "/a", "method": "GET", "status": 200,
           "plan": "pro", "count": 1, "within_300ms": 1, "within_500ms": 1, "errors_5xx": 0, "timeouts": 0}  # fmt: skip
    rows = [row | {"latency_ms_histogram": counts} for counts in ([1, 0], [0, 1, 0], [0, 1], [1, 0, 0])]
    folded = fold_to_minutes(pl.DataFrame(rows, schema=REQUEST_SCHEMA))
    assert folded["latency_ms_histogram"].to_list() == [[1, 1], [1, 1, 0]]
    assert folded["second"].to_list() == [60, 60]
    assert folded.schema == pl.Schema(REQUEST_SCHEMA)


def _killed_before(monkeypatch: pytest.MonkeyPatch, point: int) -> None:
    """Let the process end before the given one of its acts on the disk."""
    acts = itertools.count(1)

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            if next(acts) == point:
                raise Killed
            return call(*arguments, **options)

        return act

    monkeypatch.setattr(pl.DataFrame, "write_parquet", wrap(pl.DataFrame.write_parquet))
    monkeypatch.setattr(os, "fsync", wrap(os.fsync))
    monkeypatch.setattr(Path, "replace", wrap(Path.replace))
    monkeypatch.setattr(Path, "unlink", wrap(Path.unlink))


def _fill(world: World) -> None:
    for n in range(4):
        world.events(n * 5 + 1, 5, n / 2)
        world.requests(n * 50 + 1, range(n * 50, n * 50 + 50))
    frame = pl.DataFrame([{"event_id": bytes(16), "outbox_no": 1, "time": START_MS}], schema=OPS_SCHEMA)
    for n in (1, 2):
        world._write("ops", frame, "ops", n, n)


async def test_at_every_point_of_a_crash_and_for_every_reader_the_rows_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The life of a log is played again and again, each time killed one act later: what a reader sees there and then,
    and after a successor has played it to its end, are the same rows."""
    point, over = 0, False
    while not over:
        point += 1
        world = World(tmp_path / str(point))
        _fill(world)
        wanted = (world.rows(), world.rows("ops"), _sums(world.rows("requests")))

        with monkeypatch.context() as patched:
            _killed_before(patched, point)
            over = await _live(world)
        assert (world.rows(), world.rows("ops"), _sums(world.rows("requests"))) == wanted
        assert await _live(world)
        assert (world.rows(), world.rows("ops"), _sums(world.rows("requests"))) == wanted
        left = [path.name for path in world.folder.rglob("*") if path.is_file()]
        assert sorted(left) == [name_of("events", 1, 20), name_of(FOLDED, 1, 200), name_of("ops", 1, 2)]
    assert point > 30


async def _live(world: World) -> bool:
    """Compact at the end of hours and days; whether it lived to see the end."""
    compactor = world.compactor()
    try:
        for day, hour in ((0, 1), (0, 2), (1, 1), (2, 1), (2, 2), (2, 3)):
            world.at(day, hour)
            await compactor.tidy()
    except Killed:
        return False
    return True


async def test_a_warehouse_that_was_open_before_reads_the_same_after(world: World) -> None:
    _fill(world)
    compactor = world.compactor()
    world.at(0, 3)
    with Warehouse(world.folder, whole=False) as opened:
        before = opened.rows("watermark")
        await compactor.tidy()
        assert opened.rows("watermark") == before
        world.clock.advance(3_600)
        await compactor.tidy()
        await compactor.tidy()
        assert opened.rows("watermark") == before


@pytest.mark.parametrize("seed", range(5))
async def test_any_rows_are_the_same_rows_in_the_same_order(tmp_path: Path, seed: int) -> None:
    source, world = random.Random(seed), World(tmp_path)
    at, hour = 1, 0.0
    for _ in range(source.randrange(2, 40)):
        count = source.randrange(1, 30)
        world.events(at, count, hour)
        at, hour = at + count + source.choice((0, 0, 0, 2)), hour + source.random()
    before = world.rows()
    compactor = world.compactor()
    for step in range(60):
        world.at(0, step)
        await compactor.tidy()
        assert world.rows() == before
