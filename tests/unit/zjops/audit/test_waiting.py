"""An audit while jobs come: the log follows the store, and what is newer than the export is no fault of the log's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from tests.unit.zjops.audit.world import SCHEMA, START_MS, World
from zjops.audit.findings import Report
from zjops.audit.run import audit
from zjops.domain.clock import SystemClock
from zjops.domain.wire import ExportHead

OLD, NEW = ["done", "fault", "early"], ["done", "done"]


class _Clock(SystemClock):
    """Something happens whenever there is a pause, which takes a second."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.seconds, self._happens = 0.0, happens

    def monotonic(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> None:
        self.seconds += 1
        self._happens()


class _Scene:
    """A store with the first jobs of a world, and a log that gets its events when told to."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.world, self.exports = folder, World([*OLD, *NEW]), 0
        self.clock, self.takes_s = _Clock(lambda: None), 0.0
        self._events = self.world.events
        known = {row.accepted_at for row in self.world.rows[: len(OLD)]}
        self.told = [event for event in self._events if event["accepted_at"] in known]

    def log(self, events: list[dict[str, Any]]) -> None:
        """Have the log hold these events."""
        log = self._folder / "log/events/date=2026-11-24"
        log.mkdir(parents=True, exist_ok=True)
        for file in log.iterdir():
            file.unlink()
        frame = pl.DataFrame(events, schema=SCHEMA, orient="row")
        frame.write_parquet(log / f"events-{1:020d}-{len(events):020d}.parquet")

    def export(self) -> Path:
        """The first jobs, as of their last event."""
        self.exports += 1
        self.clock.seconds += self.takes_s
        rows, last = self.world.rows[: len(OLD)], self.told[-1]["outbox_no"]
        head = ExportHead(at_ms=START_MS, jobs=len(rows), batches=0, outbox_last=last, outbox_unpublished=0)
        lines: list[Any] = [head, *({"job": row} for row in rows)]
        path = self._folder / "export.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return path

    def audit(self, meanwhile: Callable[[], None], wait_s: float = 3) -> Report:
        self.clock = _Clock(meanwhile)
        return audit(
            [], self.export, self._folder / "log", None, expect_settled=False, wait_s=wait_s, clock=self.clock
        )  # fmt: skip


def test_the_log_catches_up_with_the_export_while_more_jobs_come(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.log(scene.told[:-2])
    report = scene.audit(lambda: scene.log(scene.world.events))
    assert report.findings == []
    assert report.counts["accepted"] == len(OLD)
    assert scene.exports == 1


def test_of_so_many_jobs_that_a_look_takes_longer_than_the_wait_the_log_is_looked_at_again(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.log(scene.told[:-2])
    scene.takes_s = 60.0
    assert scene.audit(lambda: scene.log(scene.told)).findings == []


def test_without_a_wait_nothing_is_waited_for(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.log(scene.told[:-2])
    report = scene.audit(lambda: scene.log(scene.told), wait_s=0)
    assert {finding.kind for finding in report.findings} == {"event_missing"}


def test_a_log_that_never_gets_an_event_is_found_out_when_the_time_is_up(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.log(scene.told[:-2])
    report = scene.audit(lambda: None)
    assert {finding.kind for finding in report.findings} == {"event_missing"}
    assert scene.exports == 1


def test_a_job_that_the_log_held_before_the_export_and_the_store_does_not_is_lost(tmp_path: Path) -> None:
    scene = _Scene(tmp_path)
    scene.log(scene.world.events)
    report = scene.audit(lambda: None)
    assert {finding.kind for finding in report.findings} == {"lost"}
    assert len(report.findings) == len(NEW)
