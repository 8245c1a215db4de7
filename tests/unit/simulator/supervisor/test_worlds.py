"""A world for a new folder: what may be asked for, and that it is there whole or not at all, wherever it broke off."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from simulator.environment import begin_store
from simulator.store.port import Row, Tx
from simulator.supervisor import worlds
from simulator.supervisor.spec import Notice
from simulator.supervisor.worlds import PART, WHOLE, World, bring, settle, world_of
from simulator.world.front import KEPT
from simulator.world.handover import handing_over
from simulator.world.ledger import Kept
from zjops.domain.clock import SystemClock, parse_rfc3339
from zjops.domain.errors import UsageError, ZjopsError
from zjops.domain.events import EVENTS, OPS, STREAMS, TELEMETRY, WORK
from zjops.domain.synthetic import MARK, synthetic_part

SMALL = World(days=1, tenants=10, seed=3)
NOW_MS = 1_793_000_000_000
MADE = {
    "schema": "zjops.synthetic/1", "synthetic": True, "kind": "simulated", "seed": 7, "days": 2, "tenants": 12,
    "from": "2026-11-24T00:00:00.000Z", "to": "2026-11-26T00:00:00.000Z",
    "last": {"EVENTS": 100, "OPS": 9, "TELEMETRY": 30, "outbox": 109, "batches": 4},
}  # fmt: skip
PARTS = (
    "store.sqlite", "export.jsonl", "chain.jsonl", f"log/{MARK}", "log/events/date=2026-11-24/a.parquet",
    "log/ops/date=2026-11-24/a.parquet", "log/requests/date=2026-11-24/a.parquet", "log/batches/0/1.json",
)  # fmt: skip
PLACES = tuple(name if name.startswith(("store", "log")) else f"world/{name}" for name in PARTS)


def _write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(MADE) if path.name == MARK else name)


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("span", "days"), [("1d", 1), ("30d", 30), ("400d", 400), ("007d", 7)])
def test_a_span_is_days(span: str, days: int) -> None:
    assert world_of(span, 10, 7) == World(days, 10, 7)


@pytest.mark.parametrize("span", ["", "30", "d", "0d", "401d", "-1d", "1.5d", "30D", "4w", " 30d", "30d ", "99999d"])
def test_another_span_is_refused_with_what_may_be_said(span: str) -> None:
    with pytest.raises(UsageError, match="--world takes days such as 30d, from 1d to 400d"):
        world_of(span, 40, 7)


@pytest.mark.parametrize(
    ("span", "tenants", "seed", "text"),
    [
        ("30d", 9, 7, "--world-tenants goes from 10 to 2000"),
        ("30d", 2_001, 7, "--world-tenants goes from 10 to 2000"),
        ("30d", 40, -1, "--world-seed goes from 0"),
        ("30d", 40, 2**31, "--world-seed goes from 0"),
        ("400d", 2_000, 7, "28,000,000 jobs, more than 5,000,000"),
    ],
    ids=["too few tenants", "too many tenants", "a negative seed", "too great a seed", "more than can be played"],
)
def test_a_world_that_cannot_be_is_refused_by_the_option(span: str, tenants: int, seed: int, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        world_of(span, tenants, seed)


def test_tenants_and_seed_have_usual_values() -> None:
    assert world_of("30d") == World(30, 40, 7)
    assert world_of("30d", seed=0) == World(30, 40, 0)


def test_tenants_and_seed_of_no_world_are_refused() -> None:
    assert world_of(None) is None
    for tenants, seed in ((40, None), (None, 7)):
        with pytest.raises(UsageError, match="give that too, such as --world 30d"):
            world_of(None, tenants, seed)


def test_what_is_not_whole_is_cleared(tmp_path: Path) -> None:
    _write(tmp_path / PART, *PARTS, "PARTIAL")
    _write(tmp_path, "settings.json")
    settle(tmp_path)
    assert _files(tmp_path) == {"settings.json"}
    settle(tmp_path)


@pytest.mark.parametrize("moved", range(len(PARTS) + 1))
def test_what_is_whole_is_moved_to_its_places_wherever_that_was_broken_off(
    moved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / PART, *PARTS, WHOLE)
    _write(tmp_path, "log/app/api.jsonl", "process-logs/world.log")
    moves, left = Path.replace, [moved]

    def replace(path: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return moves(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    try:
        settle(tmp_path)
    except KeyboardInterrupt:
        assert (tmp_path / PART / WHOLE).exists()
    monkeypatch.undo()
    settle(tmp_path)
    assert _files(tmp_path) == {*PLACES, "log/app/api.jsonl", "process-logs/world.log"}
    assert not (tmp_path / PART).exists()
    settle(tmp_path)


async def _brought(home: Path, world: World | None) -> list[Notice]:
    told: list[Notice] = []
    await bring(home, world, SystemClock(), told.append)
    return told


@pytest.mark.parametrize(
    "held", ["store.sqlite", "log/events/a", "log/requests/a", "broker/jetstream/$G/streams/EVENTS/meta.inf"]
)
async def test_a_folder_in_which_a_platform_has_run_is_refused_and_left_as_it_is(held: str, tmp_path: Path) -> None:
    _write(tmp_path, held)
    with pytest.raises(UsageError, match="--world is for a new folder; name one with --home"):
        await _brought(tmp_path, SMALL)
    assert _files(tmp_path) == {held}


async def test_a_platform_goes_on_from_the_world_that_it_has(tmp_path: Path) -> None:
    _write(tmp_path, "store.sqlite", f"log/{MARK}")
    (note,) = await _brought(tmp_path, SMALL)
    assert note.event == "note"
    assert "goes on from a world already: synthetic from 2026-11-24" in (note.message or "")
    assert await _brought(tmp_path, None) == []


async def test_a_world_is_played_up_to_now_and_laid_where_a_platform_looks_for_it(tmp_path: Path) -> None:
    before_ms = SystemClock().now_ms()
    _write(tmp_path / PART, "log/half")
    told = await _brought(tmp_path, SMALL)
    assert [notice.event for notice in told[:-1]] == ["progress"] * (len(told) - 1)
    assert told[0].share is not None
    assert "a world of 1 day and 10 tenants was played" in (told[-1].message or "")
    made = synthetic_part(tmp_path / "log")
    assert made is not None
    assert (made.days, made.tenants, made.seed) == (1, 10, 3)
    assert before_ms - 60_000 <= parse_rfc3339(made.to) <= SystemClock().now_ms()
    assert not (tmp_path / PART).exists()
    assert {"store.sqlite", "world/export.jsonl", "world/chain.jsonl"} <= _files(tmp_path)
    assert not any(name.startswith("store.sqlite-") for name in _files(tmp_path))
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as store:
        plans = Counter(plan for (plan,) in store.execute("SELECT plan FROM tenants WHERE tenant <> 'operations'"))
        (charged,) = store.execute("SELECT sum(charged) FROM usage").fetchone()
        assert store.execute("SELECT sum(held), sum(active_jobs) FROM usage, tenants").fetchone() == (0, 0)
    assert sum(plans.values()) == 10
    exported = [json.loads(line).get("job") for line in (tmp_path / "world/export.jsonl").read_text().splitlines()]
    assert charged == sum(job["computeUnits"] for job in exported if job and job["charge"] == "charged")


async def test_a_start_that_is_broken_off_leaves_nothing_and_nobody(tmp_path: Path) -> None:
    begun = asyncio.Event()

    def tell(notice: Notice) -> None:
        begun.set()

    playing = asyncio.create_task(bring(tmp_path, SMALL._replace(days=30), SystemClock(), tell))
    await asyncio.wait_for(begun.wait(), 60)
    assert (tmp_path / PART).exists()
    players = psutil.Process().children(recursive=True)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert _files(tmp_path) == {"process-logs/world.log"}
    assert not (tmp_path / PART).exists()
    assert psutil.wait_procs(players, timeout=10)[1] == []


async def test_why_it_could_not_be_played_is_said_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ZjopsError, match="--tenants goes from 10 to 2000") as refused:
        await _brought(tmp_path, SMALL._replace(tenants=1))
    assert refused.value.exit_code == UsageError.exit_code
    assert not (tmp_path / PART).exists()


async def test_a_program_that_dies_is_said_with_where_its_words_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worlds.sys, "executable", "/bin/false")
    with pytest.raises(ZjopsError, match=r"could not be played \(1\); see .*world\.log"):
        await _brought(tmp_path, SMALL)


async def test_a_store_goes_on_behind_the_numbers_of_a_world(tmp_path: Path) -> None:
    def tenant(name: str) -> Row:
        return {"tenant": name, "name": None, "plan": "pro", "status": "suspended", "overrides": '{"burst_seconds":3}',
                "created_at": 5, "active_jobs": 0}  # fmt: skip

    def credit(n: int, name: str) -> Row:
        return {"n": n, "credit_id": name, "tenant": "acme", "microusd": 7, "month": "2026-11", "reason": "r",
                "job_id": b"j" * 16, "granted_by": "operations", "granted_at": 6}  # fmt: skip

    tables: dict[str, list[Row]] = {
        # Both parts of a world have the operator's tenant, and count their credits from one.
        "tenants": [tenant("acme"), tenant("operations"), tenant("operations")],
        "credits": [credit(1, "c1"), credit(1, "c2")],
        "usage": [{"tenant": "acme", "month": "2026-11", "held": 0, "charged": 300, "released": 100}],
        "usage_days": [{"tenant": "acme", "day": "2026-11-25", "jobs": 4, "charged_jobs": 3, "held": 0, "charged": 300,
                        "released": 100}],
        "plan_changes": [{"tenant": "acme", "plan": "starter", "at": 9, "reason": "asked"}],
        "links": [{"tenant": "acme", "account": "a", "since": 4}],
        "abuse_cases": [{"tenant": "acme", "step": "suspended", "reason": "flood", "at": 8}],
    }  # fmt: skip
    kept = Kept(Counter(), tables, {"outbox": 6_865, "batches": 65})
    seen: dict[str, list[Row]] = {}

    def look(tx: Tx) -> None:
        seen.update({table: tx.all(f"kept_{table}") for table in KEPT})
        tx.many("outbox_put", [(EVENTS, "jobs.submitted", "id", b"{}", None, NOW_MS)])
        tx.run("batch_insert", first=1, count=1, root=b"r" * 32, now=NOW_MS)
        seen["numbers"] = [tx.one("outbox_last") or {}, tx.one("batch_last") or {}]
        seen["waiting"] = tx.all("outbox_unpublished")

    await begin_store(tmp_path, handing_over(kept, NOW_MS))
    await begin_store(tmp_path, look)
    assert seen["numbers"] == [{"n": 6_866}, {"id": 66}]
    assert seen["waiting"] == [{"count": 1}]
    assert seen["tenants"] == tables["tenants"][:2]
    assert [row["credit_id"] for row in seen["credits"]] == ["c1", "c2"]
    for table in KEPT[1:-1]:
        assert seen[table] == tables[table]


def test_streams_go_on_behind_what_the_synthetic_log_holds(tmp_path: Path) -> None:
    _write(tmp_path, MARK)
    made = synthetic_part(tmp_path)
    assert made is not None
    firsts = {spec.name: spec.first for spec in made.last.streams(STREAMS)}
    assert firsts == {EVENTS: 101, OPS: 10, TELEMETRY: 31, WORK: 1, "RESULTS": 1}
