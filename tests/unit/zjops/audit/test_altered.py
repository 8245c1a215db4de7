"""A log with one event removed, doubled or altered: exactly that event is named."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.unit.zjops.audit.world import World
from zjops.audit.findings import Finding

OUTCOMES = ["done", "fault", "crash", "early", "late", "done", "running"]


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
        ("completed", "accepted_at", 1), ("submitted", "payload_bytes", 1), ("completed", "compute_units", 1),
        ("completed", "charge", "released"), ("failed", "error_code", "other"), ("submitted", "charge", "charged"),
        ("confirmed", "batch_id", 9), ("confirmed", "chain_sequence", 99), ("confirmed", "leaf_index", 7),
        ("confirmed", "gas_share", 1),
    ],
)  # fmt: skip
def test_an_altered_event_is_named_with_what_was_altered(kind: str, field: str, value: Any, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    event = world.events[_at(world, kind)]
    event[field] = value
    found = _found(world, tmp_path, "altered")
    assert [finding.text.split(":")[0] for finding in found] == [_name(event)]
    assert f"{field} {value}, the store says" in found[0].text


def test_a_log_in_order_has_no_such_findings(tmp_path: Path) -> None:
    assert World(OUTCOMES).audit(tmp_path).findings == []
