"""The idempotency matrix, and cancellation at each stage with its races."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from simulator.environment import time_skipping
from simulator.intake.records import Tenant
from simulator.platform import Platform
from simulator.store.sqlite import SqliteStore
from tests.contract.stage import SIEVE, SLOW, Stage, new_key
from tests.support.nats import eventually
from tests.support.virtual import START_MS
from zjops.domain.clock import SystemClock, run_virtual, utc_month
from zjops.domain.errors import Problem

BODY = json.dumps(SIEVE).encode()


async def test_the_matrix_of_one_request(stage: Stage) -> None:
    token, key = await stage.client("acme"), new_key()
    missing = await stage.ask("POST", "/v1/jobs", token, SIEVE)
    assert missing.json()["code"] == "idempotency-key-missing"
    for wrong in ("x", "", str(uuid.uuid1()), key[:-1], f'"{key}', "{" + key + "}", key + "0"):
        assert (await stage.submit(token, key=wrong or " ")).json()["code"] == "idempotency-key-malformed", wrong
    first = await stage.submit(token, key=key)
    before = first.headers["x-computeunits-used"]
    again = await stage.submit(token, key=key)
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    stage.deps.directory.forget("acme")
    assert (await stage.ask("GET", "/v1/jobs", token)).headers["x-computeunits-used"] == before
    assert (await stage.submit(token, SIEVE | {"priority": 1}, key)).json()["code"] == "idempotency-key-reused"
    other = await stage.client("rival")
    assert (await stage.submit(other, key=key)).json()["jobId"] != first.json()["jobId"]


async def test_a_refused_submission_does_not_use_up_its_key(stage: Stage) -> None:
    token, key = await stage.client("acme", "starter", compute_units=50, buffer_percent=0), new_key()
    assert (await stage.submit(token, key=key)).status_code == 402
    assert (await stage.submit(token, {"jobType": "lost"}, key)).status_code == 422
    await stage.sql("UPDATE tenants SET overrides = '{}' WHERE tenant = 'acme'")
    stage.deps.directory.forget("acme")
    assert (await stage.submit(token, key=key)).status_code == 202


async def test_a_batch_that_is_repeated_makes_no_second_job(stage: Stage) -> None:
    token, key = await stage.client("acme"), new_key()
    body = {"jobs": [SIEVE, {"jobType": "lost"}, SIEVE]}
    replies = [await stage.ask("POST", "/v1/jobs:batch", token, body, Idempotency_Key=key) for _ in range(2)]
    one, two = (reply.json() for reply in replies)
    assert (one["accepted"], one["refused"]) == (2, 1)
    assert one["items"][1]["problem"]["code"] == "validation-failed"
    assert [i.get("job", {}).get("jobId") for i in one["items"]] == [
        i.get("job", {}).get("jobId") for i in two["items"]
    ]
    assert [i.get("replayed", False) for i in two["items"]] == [True, False, True]
    assert (await stage.ask("GET", "/v1/jobs", token)).json()["pagination"]["total"] == 2


def test_a_key_is_forgotten_after_a_day_and_not_before(tmp_path: Path) -> None:
    async def story() -> list[str]:
        platform = time_skipping(1, START_MS, tmp_path)
        await platform.start()
        tenant = await platform.add_tenant("acme", "starter")
        key, told = uuid.UUID(int=7, version=4), []
        for wait_s in (0, 86_000, 500):
            await platform.ports.clock.sleep(wait_s)
            told.append((await platform.intake.submit(tenant, BODY, key, None)).job_id)
        await platform.stop()
        return told

    first, second, third = run_virtual(story())
    assert first == second != third


async def test_a_key_outlives_the_process_that_took_it(tmp_path: Path) -> None:
    from tests.acceptance.test_shared_store import _platform

    told = []
    key = uuid.uuid4()
    for _ in range(2):
        platform: Platform = _platform(tmp_path)
        await platform.start()
        tenant: Tenant = await platform.add_tenant("acme", "starter")
        told.append(await platform.intake.submit(tenant, BODY, key, None))
        await platform.stop()
    assert [accepted.replayed for accepted in told] == [False, True]
    assert told[0].response == told[1].response
    store = SqliteStore(tmp_path / "store.sqlite")
    await store.start()
    rows = await store.read(lambda tx: tx.all("export_jobs", after=b"", most=10))
    await store.stop()
    assert len(rows) == 1


@pytest.mark.parametrize("delay_ms", [0, 5, 20, 60])
async def test_cancel_against_completion_ends_a_job_exactly_once(stage: Stage, delay_ms: int) -> None:
    token = await stage.client("acme", "enterprise")
    body = {"jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "duration_ms": 20}}
    jobs = [await stage.job(token, body) for _ in range(20)]

    async def cancel(job: str) -> int:
        await asyncio.sleep(delay_ms / 1000)
        return (await stage.ask("POST", f"/v1/jobs/{job}/cancel", token)).status_code

    codes = await asyncio.gather(*(cancel(job) for job in jobs + jobs))
    assert set(codes) <= {202, 409}

    async def over() -> bool:
        reply = await stage.ask("GET", "/v1/jobs?limit=100", token)
        if reply.status_code == 503:
            # A machine that is busy with other tests: the platform says so, and goes on.
            return False
        assert reply.status_code == 200, reply.text
        return all(job["status"] in ("cancelled", "confirmed") for job in reply.json()["jobs"])

    await eventually(over, 20)
    rows = await stage.store.read(lambda tx: tx.all("export_jobs", after=b"", most=1000))
    ends = [row["charge"] for row in rows]
    assert "held" not in ends
    usage = await stage.store.read(lambda tx: tx.one("usage_get", tenant="acme", month=_month()))
    assert usage is not None
    assert usage["held"] == 0
    assert usage["charged"] + usage["released"] == 100 * len(jobs)
    tenant = await stage.store.read(lambda tx: tx.one("tenant_get", tenant="acme"))
    assert tenant is not None
    assert tenant["active_jobs"] == 0


async def test_a_running_job_is_cancelled_and_a_second_request_says_the_same(stage: Stage) -> None:
    token = await stage.client("acme")
    job = await stage.job(token, SLOW)

    async def runs() -> bool:
        return bool((await stage.ask("GET", f"/v1/jobs/{job}", token)).json()["status"] == "processing")

    await eventually(runs)
    for _ in range(2):
        reply = await stage.ask("POST", f"/v1/jobs/{job}/cancel", token)
        assert (reply.status_code, reply.json()["status"]) == (202, "cancellation_requested")

    async def cancelled() -> bool:
        return bool((await stage.ask("GET", f"/v1/jobs/{job}", token)).json()["status"] == "cancelled")

    await eventually(cancelled)
    with pytest.raises(Problem):
        await stage.platform.intake.cancel("rival", job)


async def test_pages_by_link_neither_repeat_nor_hide_while_jobs_are_added(stage: Stage) -> None:
    token = await stage.client("acme", "enterprise")
    first = {await stage.job(token) for _ in range(12)}
    for order in ("desc", "asc"):
        seen: list[str] = []
        path: str | None = f"/v1/jobs?limit=5&sortOrder={order}"
        while path:
            page = (await stage.ask("GET", path, token)).json()
            seen += [job["jobId"] for job in page["jobs"]]
            await stage.job(token)
            path = page["links"]["next"]
            assert len(seen) < 200
            if order == "asc" and len(seen) > 60:
                break
        assert len(seen) == len(set(seen))
        assert first <= set(seen)


def _month() -> str:
    return utc_month(SystemClock().now_ms())
