"""A log with one event removed, doubled or altered: exactly that event is named."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.unit.zjops.audit.world import START_MS, World
from zjops.audit import altered
from zjops.audit.findings import Finding

OUTCOMES = ["done", "fault", "crash", "early", "late", "done", "running"]


@pytest.fixture(autouse=True, params=[3, 100_000])
def _parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is summed up in many parts or in one."""
    monkeypatch.setattr(altered, "PART_EVENTS", request.param)


def _name(event: dict[str, Any]) -> str:
    return f"event {uuid.UUID(bytes=event['event_id'])} ({event['type']}, number {event['stream_seq']})"


def _found(world: World, folder: Path, kind: str) -> list[Finding]:
    return [finding for finding in world.audit(folder).findings if finding.kind == kind]


def _at(world: World, kind: str) -> int:
    return next(index for index, event in enumerate(world.events) if event["type"] == kind)


@pytest.mark.parametrize("kind", ["submitted", "processing", "completed", "failed", "cancelled", "confirmed"])
def test_a_removed_event_is_named_by_its_number(kind: str, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    removed = world.events.pop(_at(world, kind))
    world.size = len(world.events) + 1
    (gap,) = _found(world, tmp_path, "gap")
    assert gap.text == f"event {removed['stream_seq']} of the stream is not in the log"


def test_the_last_event_of_a_file_is_missed_too(tmp_path: Path) -> None:
    world = World(OUTCOMES)
    removed = world.events.pop()
    world.size = len(world.events) + 1
    (gap,) = _found(world, tmp_path, "gap")
    assert f"event {removed['stream_seq']} " in gap.text


@pytest.mark.parametrize("kind", ["submitted", "completed", "confirmed"])
def test_a_doubled_event_is_named(kind: str, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    event = world.events[_at(world, kind)]
    world.events.append(dict(event))
    world.size = len(world.events) - 1
    texts = [finding.text for finding in _found(world, tmp_path, "doubled")]
    assert f"{_name(event)} stands 2 times" in texts


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("completed", "tenant", "other"), ("submitted", "plan", "free"), ("completed", "job_type", "ml_inference"),
        ("completed", "accepted_at", 1), ("confirmed", "accepted_at", -1), ("submitted", "payload_bytes", 1),
        ("completed", "compute_units", 1),
        ("completed", "charge", "released"), ("failed", "error_code", "other"), ("submitted", "charge", "charged"),
        ("confirmed", "batch_id", 9), ("confirmed", "chain_sequence", 99), ("confirmed", "leaf_index", 7),
        ("confirmed", "gas_share", 1), ("submitted", "status", "completed"), ("completed", "status", "failed"),
        ("submitted", "time", 1), ("confirmed", "time", 1), ("submitted", "attempt", 3), ("failed", "attempt", 9),
        ("confirmed", "attempt", 0), ("confirmed", "charge", "released"), ("confirmed", "error_code", "other"),
        ("processing", "error_code", "other"), ("completed", "error_code", "other"), ("completed", "batch_id", 1),
        ("submitted", "gas_share", 1), ("confirmed", "block_number", 9),
    ],
)  # fmt: skip
def test_an_altered_event_is_named_with_what_was_altered(kind: str, field: str, value: Any, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    event = world.events[_at(world, kind)]
    event[field] = value
    found = _found(world, tmp_path, "altered")
    assert [finding.text.split(":")[0] for finding in found] == [_name(event)]
    assert f"{field} {value}, the store says" in found[0].text


def test_an_event_without_an_id_is_named(tmp_path: Path) -> None:
    world = World(OUTCOMES)
    event = world.events[_at(world, "completed")]
    event["event_id"] = None
    (found,) = _found(world, tmp_path, "altered")
    assert found.text == f"event without an id (completed, number {event['stream_seq']})"


def test_a_number_that_one_without_an_id_shares_is_named(tmp_path: Path) -> None:
    world = World(OUTCOMES)
    one, other = world.events[_at(world, "completed")], world.events[_at(world, "confirmed")]
    one["event_id"], one["outbox_no"] = None, other["outbox_no"]
    texts = [finding.text for finding in _found(world, tmp_path, "doubled")]
    assert any("one without an id" in text and str(uuid.UUID(bytes=other["event_id"])) in text for text in texts)


def test_a_log_in_order_has_no_such_findings(tmp_path: Path) -> None:
    assert World(OUTCOMES).audit(tmp_path).findings == []


@pytest.mark.parametrize("name", ["tx_hash", "block_hash"])
def test_a_confirmation_with_another_place_is_named_among_those_of_its_batch(name: str, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    event = world.events[_at(world, "confirmed")]
    event[name] = b"\x01" * 32
    (found,) = _found(world, tmp_path, "altered")
    assert found.text.startswith(f"{_name(event)}: {name} 0x{'01' * 32}, the store says 0x")


@pytest.mark.parametrize("attempt", [0, 6], ids=["never tried", "more often than the store knows"])
def test_a_beginning_with_an_attempt_that_cannot_be_is_named(attempt: int, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    event = world.events[_at(world, "processing")]
    event["attempt"] = attempt
    (found,) = _found(world, tmp_path, "altered")
    assert found.text.startswith(f"{_name(event)}: attempt {attempt}, ")


def test_an_event_that_was_given_to_a_job_which_does_not_exist_is_named(tmp_path: Path) -> None:
    world = World(OUTCOMES)
    event = world.events[_at(world, "completed")]
    event["job_id"] = uuid.UUID(int=4242).bytes
    assert [f.text for f in _found(world, tmp_path, "altered")] == [f"{_name(event)}: the store knows no such job"]


@pytest.mark.parametrize(("field", "what"), [("stream_seq", "event stream"), ("outbox_no", "outbox")])
def test_two_events_with_one_number_are_named(field: str, what: str, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    first, second = world.events[4:6]
    second[field] = first[field]
    (found,) = [f for f in _found(world, tmp_path, "doubled") if "number" in f.text]
    ids = " and ".join(str(uuid.UUID(bytes=event["event_id"])) for event in (first, second))
    assert found.text == f"number {first[field]} of the {what} is that of {ids}"


def _with_acts() -> World:
    world = World(OUTCOMES)
    world.acts = [
        {"kind": "plan", "action": "plan.upgrade", "tenant": "acme", "values": '{"former":"free","plan":"pro"}'},
        {"kind": "abuse", "action": "abuse.watch", "tenant": "acme", "values": "{}"},
        {"kind": "abuse", "action": "abuse.block", "tenant": "acme", "values": "{}"},
    ]
    for number, act in enumerate(world.acts, 1):
        act |= {"outbox_no": 2 * number + 1, "event_id": uuid.UUID(int=900 + number).bytes, "time": START_MS}
    return world


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_act_that_is_missing_from_the_ops_log_is_named(place: int, tmp_path: Path) -> None:
    world = _with_acts()
    assert world.audit(tmp_path / "whole").findings == []
    world.acts_missing = {place + 1}
    (gap,) = _found(world, tmp_path / "less", "gap")
    assert gap.text == f"act {place + 1} of the OPS stream is not in the log"


def test_an_act_that_stands_twice_is_named(tmp_path: Path) -> None:
    world = _with_acts()
    world.acts.append(world.acts[1] | {"stream_seq": 2})
    (twice,) = _found(world, tmp_path, "doubled")
    assert twice.text == f"act {uuid.UUID(int=902)} (abuse.watch, number 2) stands 2 times"


@pytest.mark.parametrize("log", ["events", "ops"])
@pytest.mark.parametrize("which", ["first", "last"])
def test_numbers_that_the_mark_of_a_synthetic_log_promises_are_missed(log: str, which: str, tmp_path: Path) -> None:
    world = _with_acts()
    one, stream, held = ("act", "the OPS stream", 3) if log == "ops" else ("event", "the stream", len(world.events))
    world.last = {"EVENTS": len(world.events), "OPS": 3} | ({log.upper(): held + 1} if which == "last" else {})
    if which == "first":
        world.begins = {log: 2}
    (gap,) = _found(world, tmp_path, "gap")
    assert gap.text == f"{one} {held + 1 if which == 'last' else 1} of {stream} is not in the log"
