"""Every fault that an audit is for, injected into a world that was in order: each must be found, by job."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.zjops.audit.world import GAS, OUTCOMES, World, hash_of
from zjops.audit.records import read_export
from zjops.cli.audit import still_going
from zjops.client.chain import Block
from zjops.client.history import Read, Submitted
from zjops.domain.errors import UsageError
from zjops.domain.jobs import JobState
from zjops.domain.requests import PROBER_TENANT

ALL = ["done", "fault", "crash", "early", "late", "done", "done", "done"]
Break = Callable[[World], None]


def test_a_world_in_order_is_found_in_order(tmp_path: Path) -> None:
    report = World(ALL).audit(tmp_path, expect_settled=True)
    assert report.findings == []
    counted = report.as_json()
    (tied,) = counted.pop("tie_out")
    assert [one["residual"] for one in tied["identities"]] == [0] * 5
    assert (tied["holds"], tied["in_flight"], tied["awaiting_finality"], tied["wrong"]) == (True, [], [], [])
    assert counted == {
        "schema": "zjops.audit/1", "ok": True, "client_accepted": 8, "unknown": 0, "accepted": 8, "settled": 8,
        "completed": 4, "failed": 2, "cancelled": 2, "confirmed": 6, "charged": 6, "released": 2, "in_flight": 0,
        "lost": 0, "doubled": 0, "double_billed": 0, "double_confirmed": 0, "findings": [], "repaired": [], "late": [],
        "counterexample": None,
    }  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=1, max_size=20), st.integers(1, 7))
def test_any_mix_of_outcomes_is_in_order(outcomes: list[str], batch: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = World(outcomes, batch).audit(Path(folder))
    assert report.findings == []
    counts = report.as_json()
    assert counts["accepted"] == counts["settled"] + counts["in_flight"] == len(outcomes)
    assert counts["completed"] + counts["failed"] + counts["cancelled"] == counts["settled"]
    assert counts["charged"] + counts["released"] == counts["settled"]


def _lose(world: World) -> None:
    world.history.append(Submitted(key="k", start_ms=1, end_ms=2, outcome="ok", status=202, job_id="job_gone"))


def _second_job_of_a_key(world: World) -> None:
    first = world.history[0]
    assert isinstance(first, Submitted)
    world.history.append(msgspec.structs.replace(first, job_id=world.rows[1].job_id))


def _unknown_became_two(world: World) -> None:
    world.history = world.history[2:]
    world.history.append(Submitted(key="same", start_ms=1, end_ms=2, outcome="unknown", tenant="acme"))
    world.change(0, idempotency_key="same")
    world.change(1, idempotency_key="same")


def _event_twice(world: World) -> None:
    world.events.append(world.event(world.rows[0], "completed"))


def _row_twice(world: World) -> None:
    world.events.append(dict(world.events[0]))


def _two_endings(world: World) -> None:
    world.events.append(world.event(world.rows[0], "cancelled") | {"charge": "held"})


def _event_missing(world: World) -> None:
    world.drop_event(0, "completed")


def _charged_twice(world: World) -> None:
    world.events.append(world.event(world.rows[4], "cancelled"))


def _charged_and_released(world: World) -> None:
    world.events.append(world.event(world.rows[0], "completed") | {"charge": "released"})


def _crash_charged(world: World) -> None:
    world.change(2, charge="charged")


def _early_cancel_charged(world: World) -> None:
    world.change(3, charge="charged")


def _log_charges_otherwise(world: World) -> None:
    world.drop_event(0, "completed")
    world.events.append(world.event(world.rows[0], "completed") | {"charge": "released"})


def _cancelled_on_chain(world: World) -> None:
    world.change(3, chain_sequence=99, batch_id=1)


def _number_shared(world: World) -> None:
    world.change(5, chain_sequence=world.rows[0].chain_sequence)


def _gap(world: World) -> None:
    world.change(7, chain_sequence=50)


def _chain_runs_ahead(world: World) -> None:
    world.next_sequence_value += 1


def _other_root_on_chain(world: World) -> None:
    world.roots[1] = b"\1" * 32


def _result_changed(world: World) -> None:
    world.change(0, result_sha3="0x" + "11" * 32)


def _usage_changed(world: World) -> None:
    world.change(0, compute_units=99)


def _confirmed_twice(world: World) -> None:
    world.events.append(world.event(world.rows[0], "confirmed") | {"gas_share": 0})


def _other_number_in_log(world: World) -> None:
    event = world.drop_event(0, "confirmed")
    world.events.append(event | {"chain_sequence": 77})


def _gas_lost(world: World) -> None:
    event = world.drop_event(0, "confirmed")
    world.events.append(event | {"gas_share": event["gas_share"] - 1, "outbox_no": 10_000})


def _only_in_log(world: World) -> None:
    gone = world.rows.pop()
    world.batches[-1] = msgspec.structs.replace(world.batches[-1], count=world.batches[-1].count - 1)
    world.history = [r for r in world.history if r.job_id != gone.job_id]


def _went_back(world: World) -> None:
    name = world.rows[0].job_id
    world.history += [
        Read(job_id=name, status="completed", start_ms=10, end_ms=20),
        Read(job_id=name, status="processing", start_ms=21, end_ms=30),
    ]


def _order_of_events(world: World) -> None:
    world.events.append(world.drop_event(0, "submitted") | {"outbox_no": 10_000})


def _block_replaced(world: World) -> None:
    """The block that was final is another one now, and nothing of ours is in it or on the chain."""
    first = world.batches[0].first_sequence
    del world.roots[first], world.commits[first]
    world.blocks[11] = Block(hash_of("empty"), frozenset())


def _mined_again_elsewhere(world: World) -> None:
    """The root stands as before, so that only the blocks tell."""
    moved = world.blocks[11]
    world.blocks[11], world.blocks[40] = Block(hash_of("empty"), frozenset()), moved
    world.commits[1] = world.commits[1]._replace(block=40)


def _chain_is_shorter(world: World) -> None:
    del world.blocks[11]


def _another_transaction(world: World) -> None:
    world.replace_batch(0, tx_hash=hash_of("never sent"))


def _store_moved_in_silence(world: World) -> None:
    """The store names another block than the events did, and no repair."""
    batch = world.replace_batch(0, block_number=50, block_hash=hash_of("other"))
    world.mine(batch)


def _events_disagree_on_the_block(world: World) -> None:
    event = world.drop_event(0, "confirmed")
    world.events.append(event | {"block_number": 12})


def _repaired_in_silence(world: World) -> None:
    world.repair(0, "adopt", told=False)


def _repaired_and_gone_again(world: World) -> None:
    world.repair(0, "send")
    world.blocks[30] = Block(hash_of("empty"), frozenset())


FAULTS: list[tuple[Break, str, int | None]] = [
    (_lose, "lost", None), (_second_job_of_a_key, "doubled", 1), (_unknown_became_two, "doubled", None),
    (_event_twice, "doubled", 0), (_row_twice, "doubled", 0), (_two_endings, "doubled", 0),
    (_event_missing, "event_missing", 0), (_charged_twice, "double_billed", 4),
    (_charged_and_released, "double_billed", 0), (_crash_charged, "wrong_charge", 2),
    (_early_cancel_charged, "wrong_charge", 3), (_log_charges_otherwise, "wrong_charge", 0),
    (_cancelled_on_chain, "wrong_chain", 3), (_number_shared, "double_confirmed", None), (_gap, "wrong_chain", None),
    (_chain_runs_ahead, "double_confirmed", None), (_other_root_on_chain, "wrong_root", 0),
    (_result_changed, "wrong_root", 0), (_usage_changed, "wrong_root", 0), (_confirmed_twice, "double_confirmed", 0),
    (_other_number_in_log, "double_confirmed", 0), (_gas_lost, "wrong_gas", 0), (_only_in_log, "lost", None),
    (_went_back, "status_back", 0), (_order_of_events, "wrong_order", 0),
    (_block_replaced, "reorged", 0), (_block_replaced, "wrong_root", 0), (_mined_again_elsewhere, "reorged", 0),
    (_chain_is_shorter, "reorged", 0), (_another_transaction, "wrong_chain", 0),
    (_store_moved_in_silence, "mismatch", 0), (_events_disagree_on_the_block, "mismatch", 0),
    (_repaired_in_silence, "event_missing", None), (_repaired_and_gone_again, "reorged", 0),
]  # fmt: skip


@pytest.mark.parametrize(("breaks", "kind", "job"), FAULTS, ids=[f"{f[0].__name__.strip('_')}: {f[1]}" for f in FAULTS])
def test_each_fault_is_found(tmp_path: Path, breaks: Break, kind: str, job: int | None) -> None:
    world = World(ALL)
    breaks(world)
    report = world.audit(tmp_path)
    assert not report.ok
    kinds = {(f.kind, f.job_id) for f in report.findings}
    assert kind in {k for k, _ in kinds}, report.findings
    if job is not None:
        assert (kind, world.rows[job].job_id) in kinds, report.findings
    summary = report.as_json()
    assert summary["ok"] is False
    assert [tuple(one.values()) for one in summary["findings"]] == report.findings
    if kind in summary:
        assert summary[kind] >= 1


def test_an_unknown_that_exists_whole_or_not_at_all_is_in_order(tmp_path: Path) -> None:
    world = World(ALL)
    heard = world.history[0]
    assert isinstance(heard, Submitted)
    world.history[0] = msgspec.structs.replace(heard, outcome="unknown", job_id=None, status=None)
    world.history.append(Submitted(key="never", start_ms=1, end_ms=2, outcome="unknown", tenant="acme"))
    report = world.audit(tmp_path)
    assert report.findings == []
    assert report.as_json()["unknown"] == 2
    assert report.as_json()["client_accepted"] == len(ALL) - 1


def test_overlapping_reads_may_show_states_in_any_order(tmp_path: Path) -> None:
    world = World(ALL)
    name = world.rows[0].job_id
    world.history += [
        Read(job_id=name, status="completed", start_ms=10, end_ms=30),
        Read(job_id=name, status="processing", start_ms=20, end_ms=40),
        Read(job_id=name, status="confirmed", start_ms=50, end_ms=60),
    ]
    assert world.audit(tmp_path).findings == []


def test_what_still_runs_is_in_flight_unless_everything_should_have_ended(tmp_path: Path) -> None:
    world = World(["done", "running"])
    assert world.audit(tmp_path / "a").as_json()["in_flight"] == 1
    report = World(["done", "running"]).audit(tmp_path / "b", expect_settled=True)
    assert [f.kind for f in report.findings] == ["not_settled"]
    assert "while jobs keep coming" in still_going(report)
    assert report.only_late


def test_nothing_is_said_of_waiting_where_something_is_wrong(tmp_path: Path) -> None:
    world = World(["done", "running"])
    assert still_going(world.audit(tmp_path / "fine")) == ""
    world.change(0, charge="released")
    report = world.audit(tmp_path / "wrong", expect_settled=True)
    assert "not_settled" in [f.kind for f in report.findings]
    assert still_going(report) == ""


def test_the_prober_always_has_a_job_on_its_way(tmp_path: Path) -> None:
    world = World(["done", "running"])
    world.change(1, tenant=PROBER_TENANT)
    for event in world.events:
        if event["job_id"] == world.events[-1]["job_id"]:
            event["tenant"] = PROBER_TENANT
    assert world.audit(tmp_path, expect_settled=True).findings == []


def test_mined_is_not_final(tmp_path: Path) -> None:
    world = World(["done"])
    world.change(0, status=JobState.COMPLETED, confirmed_at=None)
    world.drop_event(0, "confirmed")
    world.batches[0] = msgspec.structs.replace(world.batches[0], state="mined")
    assert world.audit(tmp_path / "a").findings == []


def test_a_cut_export_is_refused(tmp_path: Path) -> None:
    World(ALL).audit(tmp_path)
    export = tmp_path / "export.jsonl"
    whole = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(whole[:-1]))
    with pytest.raises(UsageError, match="cut off"):
        read_export(export)
    export.write_bytes(b"".join(whole)[:-20])
    with pytest.raises(UsageError, match="cannot be read"):
        read_export(export)


def test_gas_is_shared_out_to_the_last_unit() -> None:
    world = World(ALL)
    given = [e["gas_share"] for e in world.events if e["type"] == "confirmed"]
    assert sum(given) == GAS * len(world.batches)


def test_a_dead_platforms_log_may_be_behind_but_not_wrong(tmp_path: Path) -> None:
    world = World(ALL)
    world.drop_event(7, "confirmed")
    report = world.audit(tmp_path / "a")
    assert [f.kind for f in report.findings] == ["event_missing"] * 2, "the event, and the gas that it tells of"
    assert report.behind > 0
    assert report.forgiving().ok
    assert len(report.forgiving().late) == 2
    assert not report._replace(behind=1).forgiving().ok
    world = World(ALL)
    world.events.append(world.event(world.rows[0], "completed"))
    assert not world.audit(tmp_path / "b").forgiving().ok


def test_a_log_with_a_hole_far_back_is_not_forgiven_once_it_has_caught_up(tmp_path: Path) -> None:
    world = World(ALL)
    world.drop_event(0, "completed")
    assert not world.audit(tmp_path)._replace(behind=0).forgiving().ok


def test_a_root_that_stands_again_elsewhere_is_told_with_its_block(tmp_path: Path) -> None:
    world = World(ALL)
    _mined_again_elsewhere(world)
    (found,) = world.audit(tmp_path).findings
    assert found.kind == "reorged"
    assert "batch 1: block 11 was final as " in found.text
    assert f"number 1 was committed in block 40 by {hash_of('tx1')}" in found.text


@pytest.mark.parametrize("act", ["adopt", "send"])
def test_a_repair_is_no_fault_and_is_told(tmp_path: Path, act: str) -> None:
    world = World(ALL)
    world.repair(1, act)
    report = world.audit(tmp_path, expect_settled=True)
    assert report.findings == []
    (note,) = report.repaired
    assert note.kind == "repaired"
    assert f"batch 2 (3 jobs) was final in block 12 by {hash_of('tx2')}" in note.text
    assert ("adopted" if act == "adopt" else "sent again") in note.text
    assert note.text.endswith("; final")


def test_a_repair_that_is_not_final_yet_may_become_so(tmp_path: Path) -> None:
    world = World(ALL)
    world.repair(1, "send")
    world.replace_batch(1, state="sent", block_number=None, block_hash=None, gas_used=None)
    world.roots.pop(4)
    world.next_sequence_value = 4
    assert world.audit(tmp_path / "a").findings == []
    report = world.audit(tmp_path / "b", expect_settled=True)
    assert [f.kind for f in report.findings] == ["not_final"]
    assert report.only_late
    assert report.repaired[0].text.endswith("; not final yet")


def test_numbers_that_something_else_took_are_told_and_not_held_against_it(tmp_path: Path) -> None:
    world = World(ALL)
    assert [b.first_sequence for b in world.batches] == [1, 4]
    world.repair(1, "send", first=9)
    report = world.audit(tmp_path / "a", expect_settled=True)
    assert report.findings == []
    assert "under the numbers from 9 on in place of 4" in report.repaired[0].text
    world.replace_batch(1, repairs=[])
    assert {f.kind for f in world.audit(tmp_path / "b").findings} >= {"wrong_chain", "double_confirmed", "mismatch"}


@pytest.mark.parametrize("root", [None, b"\7" * 32], ids=["by a way without a root", "by another root"])
def test_a_batch_that_cannot_be_sent_because_its_number_is_taken_is_named(tmp_path: Path, root: bytes | None) -> None:
    world = World(ALL)
    del world.roots[4]
    world.roots |= {} if root is None else {4: root}
    for state in ("closed", "sent"):
        world.replace_batch(1, state=state, tx_hash=None, block_number=None, block_hash=None, gas_used=None)
        texts = {f.text for f in world.audit(tmp_path / state).findings if f.kind == "wrong_chain"}
        assert texts == {"batch 2: something else has taken number 4: zjops chain reanchor"}
    world.roots[4] = bytes.fromhex(world.batches[1].root[2:])
    assert not {f.kind for f in world.audit(tmp_path / "noticed").findings} & {"wrong_chain", "wrong_root"}


def test_an_export_that_names_no_blocks_is_compared_by_its_roots(tmp_path: Path) -> None:
    world = World(ALL)
    export = tmp_path / "a" / "export.jsonl"
    assert world.audit(tmp_path / "a").findings == []
    lines = [msgspec.json.decode(line) for line in export.read_bytes().splitlines()]
    for line in lines:
        for name in ("blockNumber", "blockHash", "repairs"):
            line.get("batch", {}).pop(name, None)
    export.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    assert [b.block_number for b in read_export(export).batches] == [None] * len(world.batches)
