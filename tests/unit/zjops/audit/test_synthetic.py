"""The audit of a platform that goes on from a synthetic log: what was there before is not the store's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.zjops.audit.world import START_MS, World
from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.warehouse import Warehouse
from zjops.audit.bills import billed_jobs, check_anchors
from zjops.audit.records import WHOLE, Part, left_out, part_after, part_before, read_export
from zjops.audit.world import log_of, require_world
from zjops.domain.clock import utc_month
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.plans import price_book
from zjops.domain.synthetic import MARK, and_synthetic

OUTCOMES = ["done", "fault", "crash", "early", "late", "done", "running"]
BEFORE = ["done", "fault", "early"]
MADE = {
    "schema": "zjops.synthetic/1", "synthetic": True, "kind": "simulated", "seed": 7, "days": 2, "tenants": 12,
    "from": "2026-11-24T00:00:00.000Z", "to": "2026-11-26T00:00:00.000Z",
    "last": {"EVENTS": 100, "OPS": 9, "TELEMETRY": 30, "outbox": 109, "batches": 4},
}  # fmt: skip


def _world() -> World:
    world = World(OUTCOMES)
    world.go_on_from(BEFORE)
    return world


def _mark(log: Path) -> Path:
    log.mkdir(parents=True, exist_ok=True)
    (log / MARK).write_text(json.dumps(MADE))
    return log


def test_jobs_of_before_are_left_out_and_the_sums_of_the_month_hold_with_them(tmp_path: Path) -> None:
    world = _world()
    report = world.audit(tmp_path)
    assert report.findings == []
    assert report.counts["accepted"] == len(OUTCOMES)
    (tied,) = report.tied
    assert next(one.left for one in tied.identities) == len(OUTCOMES) + len(BEFORE)
    assert left_out(tmp_path / "log", world.part) == len(BEFORE)
    assert left_out(tmp_path / "log", WHOLE) == 0


def test_an_export_that_is_to_tell_of_all_has_lost_them(tmp_path: Path) -> None:
    world = _world()
    world.part = WHOLE
    assert [finding.kind for finding in world.audit(tmp_path).findings] == ["lost"] * len(BEFORE)


@pytest.mark.parametrize("index", [2, -2], ids=["of before", "of its own"])
def test_an_event_that_is_missing_is_named_wherever_it_is(index: int, tmp_path: Path) -> None:
    world = _world()
    world.size = len(world.events)
    gone = world.events.pop(index)
    gaps = [finding.text for finding in world.audit(tmp_path).findings if finding.kind == "gap"]
    assert gaps == [f"event {gone['stream_seq']} of the stream is not in the log"]


def test_an_altered_event_of_its_own_is_named(tmp_path: Path) -> None:
    world = _world()
    world.events[world.part.after]["payload_bytes"] = 1
    kinds = {finding.kind for finding in world.audit(tmp_path).findings}
    assert kinds == {"altered"}


def test_a_log_that_got_no_event_yet_is_behind_by_the_rows_since_then(tmp_path: Path) -> None:
    world = _world()
    del world.events[world.part.after :]
    report = world.audit(tmp_path)
    assert report.behind == 10**6 - world.part.outbox
    assert {finding.kind for finding in report.findings} == {"event_missing"}


def test_billed_usage_of_before_is_said_to_be_on_no_chain(tmp_path: Path) -> None:
    world, book = _world(), price_book()
    world.audit(tmp_path)
    log = tmp_path / "log"
    with Warehouse(log) as warehouse:
        invoice = draft_invoices(read_month(warehouse, utc_month(START_MS), book, now_ms=START_MS + 10**9), book)[0]
        all_of_it = billed_jobs(invoice, warehouse)
    with Warehouse(log, after=world.part.after) as own:
        left = len(all_of_it) - len(billed_jobs(invoice, own))
        (check,) = check_anchors(invoice, own, read_export(tmp_path / "export.jsonl"), world, left)
    assert check.ok
    assert left == 2
    assert "2 synthetic jobs are on no chain" in check.text


def test_the_mark_says_where_one_part_ends_and_the_other_begins(tmp_path: Path) -> None:
    assert part_after(tmp_path) == part_before(tmp_path) == WHOLE
    assert and_synthetic(tmp_path) == ""
    _mark(tmp_path)
    assert part_after(tmp_path) == Part(after=100, outbox=109)
    assert part_before(tmp_path) == Part(through=100)
    assert and_synthetic(tmp_path).startswith("; of it, synthetic from 2026-11-24")
    (tmp_path / MARK).write_text("{")
    with pytest.raises(UsageError, match=MARK):
        part_after(tmp_path)


def test_a_world_is_proved_with_the_log_of_the_platform_that_went_on_from_it(tmp_path: Path) -> None:
    world = tmp_path / "world"
    world.mkdir()
    for name in ("export.jsonl", "chain.jsonl"):
        (world / name).touch()
    (tmp_path / "log").mkdir()
    with pytest.raises(UnreachableError, match="log missing"):
        require_world(world)
    _mark(tmp_path / "log")
    require_world(world)
    assert log_of(world) == tmp_path / "log"
    _mark(world / "log")
    assert log_of(world) == world / "log"
