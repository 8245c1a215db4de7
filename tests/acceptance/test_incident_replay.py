"""The simulator's seeded incident, seen live and then replayed: the same numbers, and `b` lands on its beginning.

The world of a day is played by the simulator; its log is then told to a feed second by second, as its broker, its meter
and its prober would have. Events come 400 ms late and rollups after their second, so what is compared is what a view
shows of an instant once all of it has come.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

from tests.support.shown import breaches_at, shown
from tests.tui.conftest import settled
from zjops.cli.times import moment_ms
from zjops.domain.clock import ManualClock, VirtualClock, parse_rfc3339, run_virtual
from zjops.domain.events import JobEvent
from zjops.domain.ids import job_id
from zjops.domain.requests import Rollup
from zjops.feed.budgets import BUDGETS, read_budgets
from zjops.feed.feed import Feed, Intake
from zjops.feed.messages import Pulse
from zjops.feed.playback import Playback
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder
from zjops.recording.rows import Act
from zjops.tui.app import TopApp
from zjops.tui.breaches import Breach
from zjops.tui.station import Station

pytestmark = pytest.mark.timeout(300)
BEFORE_MS, AFTER_MS = 2 * 60_000, 27 * 60_000
"""The world's batches are so slow that some objectives burn before it: that did not begin in what is recorded."""
LATE_MS, SETTLED_MS = 400, 3_000
EVERY_MS = 60_000
"""How often the views are read."""


class World(NamedTuple):
    folder: Path
    began_ms: int
    """When the incident began."""

    @property
    def first_ms(self) -> int:
        return self.began_ms - BEFORE_MS

    @property
    def last_ms(self) -> int:
        return self.began_ms + AFTER_MS

    def rows(self, kind: str, time: str) -> list[dict[str, Any]]:
        """What the log holds of a time, as rows by name, in order."""
        scale = 1000 if time == "second" else 1
        files = f"{self.folder}/log/{kind}/**/*.parquet"
        with duckdb.connect() as db:
            found = db.execute(
                f"FROM read_parquet('{files}', hive_partitioning = false) WHERE {time} BETWEEN ? AND ? ORDER BY {time}",
                [(self.first_ms - 600_000) // scale, self.last_ms // scale],
            )
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("incident") / "world"
    done = subprocess.run(
        [sys.executable, "-m", "zjops", "simulate", "--days", "1", "--tenants", "40", "--seed", "7", "--jobs", "20000",
         "--out", str(folder), "-o", "json", "-q"], capture_output=True, text=True, check=True,
    )  # fmt: skip
    return World(folder, parse_rfc3339(json.loads(done.stdout)["incident"]["from"]))


class Telling(ManualClock):
    """A clock by whose hand the log of the world is told when it was told then; at the end it cancels."""

    def __init__(self, world: World) -> None:
        super().__init__(world.first_ms)
        self._world = world
        self.intake: Intake | None = None
        self._due: deque[tuple[int, Callable[[], None]]] = deque()

    async def sleep(self, seconds: float) -> None:
        assert self.intake is not None
        if self.now_ms() == self._world.first_ms:
            self._due.extend(sorted(self._acts(self.intake), key=lambda act: act[0]))
        if self.now_ms() > self._world.last_ms + SETTLED_MS:
            raise asyncio.CancelledError
        self.advance(seconds)
        while self._due and self._due[0][0] <= self.now_ms():
            self._due.popleft()[1]()

    def _acts(self, intake: Intake) -> Iterator[tuple[int, Callable[[], None]]]:
        for row in self._world.rows("events", "time"):
            yield row["time"] + LATE_MS, lambda row=row: _event(intake, row)
        for row in self._world.rows("requests", "second"):
            yield row["second"] * 1000 + 1_200, lambda row=row: intake.changes.rollup(Rollup(**row))
        for row in self._world.rows("ops", "time"):
            act = Act(*(row[name] for name in ("time", "kind", "actor", "action", "tenant", "reason")))
            yield row["time"] + LATE_MS, lambda act=act: intake.changes.acts.append(act)
        for at_ms in range(self._world.first_ms, self._world.last_ms, 60_000):
            yield at_ms, lambda at_ms=at_ms: self._budgets(intake, at_ms)

    def _budgets(self, intake: Intake, at_ms: int) -> None:
        intake.changes.reading(BUDGETS, at_ms, read_budgets(self._world.folder / "log", at_ms // 60_000))


def _event(intake: Intake, row: dict[str, Any]) -> None:
    names = set(JobEvent.__struct_fields__)
    told = {name: value for name, value in row.items() if name in names and value is not None}
    told["job_id"] = job_id(row["job_id"])
    for name in ("tx_hash", "block_hash"):
        if name in told:
            told[name] = "0x" + told[name].hex()
    intake.changes.event(row["type"], row["time"], JobEvent(**told), row["traceparent"])


class Live(NamedTuple):
    """What was seen while it was live, by instant, and everything that the feed told."""

    path: Path
    seen: dict[int, dict[str, Any]]
    told: Counter[str]


@pytest.fixture(scope="module")
def live(world: World, tmp_path_factory: pytest.TempPathFactory) -> Live:
    path = tmp_path_factory.mktemp("live") / "incident.zjrec"
    seen: dict[int, dict[str, Any]] = {}
    told: Counter[str] = Counter()

    clock, writer = Telling(world), Recorder(path, {"context": "local"})
    recording = Recording(path)

    def heard(pulse: Pulse) -> None:
        told.update(pulse.events)
        told["requests"] += pulse.requests
        at_ms = (pulse.at_ms - SETTLED_MS) // EVERY_MS * EVERY_MS
        if at_ms > world.first_ms and at_ms not in seen:
            seen[at_ms] = shown(recording, at_ms)

    async def main() -> None:
        feed = Feed([], clock, heard, writer, every_s=1.0)
        clock.intake = feed.intake
        with pytest.raises(asyncio.CancelledError):
            await feed.run()

    asyncio.run(main())
    recording.close()
    return Live(path, seen, told)


def test_a_replay_shows_the_numbers_that_were_live(live: Live) -> None:
    recording = Recording(live.path)
    assert len(live.seen) >= 25
    for at_ms, seen in live.seen.items():
        again = shown(recording, at_ms)
        for view, value in seen.items():
            assert again[view] == value, f"{view} at {at_ms}"
    some = list(live.seen.values())
    assert len({value["count"] for value in some}) >= 3, "jobs came"
    assert len({str(value["overview"].stages) for value in some}) > 5
    assert len({str(value["slos"]) for value in some}) > 5, "budgets were told every minute"
    recording.close()


def test_playing_it_tells_the_same_events(live: Live, world: World) -> None:
    recording, told = Recording(live.path), Counter[str]()
    seen: dict[int, dict[str, Any]] = {}

    async def main() -> None:
        clock, ended = VirtualClock(0), asyncio.Event()

        def heard(pulse: Pulse) -> None:
            told.update(pulse.events)
            told["requests"] += pulse.requests
            at_ms = pulse.at_ms // EVERY_MS * EVERY_MS
            if at_ms in live.seen and at_ms not in seen:
                seen[at_ms] = shown(recording, at_ms)
            if pulse.ended:
                ended.set()

        feed = asyncio.create_task(Feed([Playback(recording, clock, speed=30)], clock, heard).run())
        await ended.wait()
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)

    run_virtual(main())
    assert +told == +live.told
    assert seen == {at_ms: live.seen[at_ms] for at_ms in seen}
    assert len(seen) >= 25
    recording.close()


async def test_the_first_breach_is_the_incident(live: Live, world: World) -> None:
    """The store is away from its first moment on; the first that can be seen of it is the first bad answer."""
    recording = Recording(live.path)
    felt_s = next(row["second"] for row in world.rows("requests", "second") if row["errors_5xx"])
    assert 0 <= felt_s - world.began_ms // 1000 < 300
    first = next(one for one in breaches_at(recording) if one.at_ms > world.first_ms)
    assert first == Breach((felt_s + 1) * 1000, ("gateway failing",))
    station = Station(recording, "local", replayed=1.0)
    app = TopApp(station, ManualClock(world.last_ms), moment_ms, now_ms=world.first_ms)
    async with app.run_test(size=(160, 50)) as pilot:
        await settled(app, pilot)
        await pilot.press("b")
        await settled(app, pilot)
        assert app.machine.instant.at_ms == first.at_ms
        assert "first breach" in app._note
    recording.close()
