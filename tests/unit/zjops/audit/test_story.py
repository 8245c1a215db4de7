"""The counter-example: the shortest story of one job that did not come out right, in order, with where it was seen."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.unit.zjops.audit.world import World
from zjops.audit.batches import moved_from
from zjops.client.history import Submitted


def test_a_lost_completion_is_told_from_the_request_to_the_chain(tmp_path: Path) -> None:
    world = World(["done"] * 4)
    world.drop_event(2, "completed")
    report = world.audit(tmp_path)
    story = report.story
    assert story is not None
    assert story.job_id == world.rows[2].job_id
    assert [(step.where, step.text.split(" (")[0].split(", ")[0]) for step in story.steps] == [
        ("client", f"sent it under key {world.rows[2].idempotency_key}"), ("client", "was answered 202"),
        ("store", "accepted it"), ("log", "submitted"), ("log", "processing"),
        ("chain", "number 3 of batch 1"), ("log", "confirmed"), ("store", "says now: confirmed"),
    ]  # fmt: skip
    assert story.wrong[0] == "event_missing: no event completed"
    assert report.as_json()["counterexample"] == story.as_json()


def test_of_several_jobs_the_one_with_the_fewest_steps_is_told(tmp_path: Path) -> None:
    world = World(["done", "done", "early"])
    world.drop_event(0, "completed")
    world.drop_event(2, "cancelled")
    story = world.audit(tmp_path).story
    assert story is not None
    assert story.job_id == world.rows[2].job_id


def test_a_job_that_nobody_knows_but_the_client_has_a_story_too(tmp_path: Path) -> None:
    world = World(["done"])
    world.history.append(
        Submitted(key="k", start_ms=1, end_ms=2, outcome="ok", status=202, job_id="job_gone", tenant="acme")
    )
    story = world.audit(tmp_path).story
    assert story is not None
    assert story.lines() == [
        "the story of job_gone:",
        "  00:00:00.001  client  sent it under key k",
        "  00:00:00.002  client  was answered 202",
        "                store   does not know it",
        "  must not be: lost: was accepted under key k and does not exist",
    ]


def test_nothing_is_told_of_what_came_out_right(tmp_path: Path) -> None:
    assert World(["done"]).audit(tmp_path).story is None


def test_a_job_that_was_moved_out_of_a_batch_is_found_by_the_root() -> None:
    world = World(["done"] * 3 + ["crash"] * 3)
    lost = world.rows[4]
    world.change(4, chain_sequence=7, batch_id=3, leaf_index=0)
    rows = [row for row in world.rows if row.batch_id == 2]
    found = moved_from(world.batches[1], rows, world.rows)
    assert found is not None
    assert (found.kind, found.job_id) == ("double_confirmed", lost.job_id)
    assert "is number 5 of batch 2 by its root, and has number 7 now" in found.text


def test_a_root_that_no_job_gives_names_none() -> None:
    world = World(["done"] * 3)
    rows = world.rows[:2]
    other = msgspec.structs.replace(world.batches[0], root="0x" + "11" * 32)
    assert moved_from(other, rows, world.rows) is None
