"""The transaction of acceptance, and the keys that it claims."""

from __future__ import annotations

import uuid
from pathlib import Path

import msgspec
import pytest

from simulator.environment import time_skipping
from simulator.intake import Submission
from simulator.intake.acceptance import EXPECTED_S, Acceptance, accepted_body
from simulator.intake.records import Accepted, Tenant
from simulator.platform import Platform
from simulator.store.port import Tx
from tests.support.virtual import START_MS
from zjops.domain.clock import rfc3339, run_virtual
from zjops.domain.errors import Problem
from zjops.domain.ids import job_id
from zjops.domain.jobs import JobState, JobType
from zjops.domain.plans import price_book
from zjops.domain.wire import JobAccepted, Links, SubmitRequest

KEEP_S = 86_400
FREE = Tenant("acme", price_book().plan("free", {"active_jobs": 2}), "active")


@pytest.mark.parametrize("kind", list(JobType))
def test_the_bytes_of_a_202_are_those_of_its_model(kind: JobType) -> None:
    name = job_id(uuid.UUID(int=7, version=4).bytes)
    here = f"/v1/jobs/{name}"
    model = JobAccepted(
        job_id=name, status=JobState.PENDING, submitted_at=rfc3339(START_MS),
        estimated_completion=rfc3339(START_MS + EXPECTED_S[kind] * 1000),
        links=Links(self_=here, status=f"{here}/status", cancel=f"{here}/cancel"),
    )  # fmt: skip
    assert accepted_body(name, kind, START_MS) == msgspec.json.encode(model)


def _submission(platform: Platform, key: int, mark: bytes = b"m" * 16) -> Submission:
    ids = platform.ports.ids
    return Submission(
        FREE, SubmitRequest(job_type=JobType.ML_INFERENCE, parameters={}), key.to_bytes(16, "big"),
        uuid.UUID(int=key, version=4), mark, ids.key(), ids.token(32), ids.name(), ids.name(), 100, 100, b"{}", None,
        None,
    )  # fmt: skip


def _told(verdict: Accepted | Problem) -> str:
    if isinstance(verdict, Problem):
        return verdict.kind.code
    return f"{verdict.job_id}{' again' if verdict.replayed else ''}"


def _play(tmp_path: Path, groups: list[list[tuple[int, bytes]]]) -> tuple[list[list[str]], int, list[list[str]]]:
    """What each group was told, how many keys stand in the store, and the jobs that each submission would have made."""

    async def story() -> tuple[list[list[str]], int, list[list[str]]]:
        platform = time_skipping(1, START_MS, tmp_path)
        await platform.ports.store.start()
        await platform.add_tenant("acme", "free", active_jobs=2)
        made = [[_submission(platform, *one) for one in group] for group in groups]
        told = [
            await platform.ports.store.transact(
                lambda tx, g=group: [_told(one) for one in Acceptance(tx, START_MS, KEEP_S).take(g)]
            )
            for group in made
        ]
        held = await platform.ports.store.read(_count)
        await platform.ports.store.stop()
        return told, held, [[job_id(one.job) for one in group] for group in made]

    return run_virtual(story())


def _count(tx: Tx) -> int:
    return sum(tx.one("idempotency_holder", scope_hash=key.to_bytes(16, "big")) is not None for key in range(100))


def test_a_key_that_stands_twice_in_a_group_makes_one_job(tmp_path: Path) -> None:
    told, held, jobs = _play(tmp_path, [[(1, b"m" * 16), (1, b"m" * 16), (1, b"x" * 16)]])
    # The last claim of a group holds the key only where the key was free; here the first does.
    assert told == [[jobs[0][0], jobs[0][0] + " again", "idempotency-key-reused"]]
    assert held == 1


def test_a_group_with_known_and_new_keys_replays_the_one_and_accepts_the_other(tmp_path: Path) -> None:
    told, held, jobs = _play(tmp_path, [[(1, b"m" * 16)], [(2, b"m" * 16), (1, b"m" * 16)]])
    assert told[1] == [jobs[1][0], jobs[0][0] + " again"]
    assert held == 2


def test_a_refused_submission_leaves_no_key_behind(tmp_path: Path) -> None:
    told, held, jobs = _play(tmp_path, [[(1, b"m" * 16), (2, b"m" * 16), (3, b"m" * 16)]])
    assert told == [[jobs[0][0], jobs[0][1], "too-many-active-jobs"]]
    assert held == 2
