"""More submissions at once than can be answered in time: some are shed, the rest accepted, and it is over soon."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from simulator.gateway import watchlist
from simulator.policy import backlog
from simulator.policy.backlog import FRESH_S, PATIENCE_S
from simulator.policy.capacity import LEAST
from tests.contract.stage import SIEVE, Stage, new_key, staged

MANY = 2 * LEAST
OVER = {"requests_per_second": 100_000, "active_jobs": 100_000, "compute_units": 10**9}


async def test_what_cannot_be_answered_in_time_is_told_so_at_once(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("flood", "enterprise", **OVER)
        replies = await asyncio.gather(*(stage.submit(token) for _ in range(MANY)))
        told = Counter(reply.status_code for reply in replies)
        assert set(told) == {202, 503}
        assert told[202] >= LEAST
        shed = next(reply for reply in replies if reply.status_code == 503)
        assert (shed.headers["retry-after"], shed.json()["code"]) == ("1", "overloaded")
        assert "x-ratelimit-limit" in shed.headers
        assert (await stage.submit(token)).status_code == 202, "nothing is left of the flood"


async def test_a_flood_keeps_nobody_else_out(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        flood = await stage.client("flood", "enterprise", **OVER)
        calm = await stage.client("calm", "enterprise", **OVER)
        waves = [stage.submit(flood) for _ in range(MANY)]
        waves[LEAST:LEAST] = [stage.submit(calm) for _ in range(10)]
        replies = await asyncio.gather(*waves)
        assert {reply.status_code for reply in replies[LEAST : LEAST + 10]} == {202}


async def test_who_waits_for_the_end_of_a_job_takes_no_place(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("patient", "enterprise", **OVER)
        slow = {"jobType": "data_processing", "parameters": {"algorithm": "synthetic", "duration_ms": 300}}
        waiting = [
            asyncio.create_task(stage.submit(token, slow, new_key(), Prefer="wait=1")) for _ in range(LEAST + 50)
        ]  # fmt: skip
        await asyncio.sleep(0)
        assert (await stage.submit(token, SIEVE)).status_code == 202
        assert {(await one).status_code for one in waiting} <= {200, 202}


async def _late(stage: Stage, wait_ms: int, ago_ms: int = 0) -> None:
    """Settlement said how far it is behind, and the interface looks, for as long as its patience lasts."""
    at = stage.deps.clock.now_ms() - ago_ms
    await stage.store.transact(lambda tx: tx.run("behind_put", owner="b", now=at, wait_ms=wait_ms, per_s=0.0))
    watch, known = stage.deps.watch, stage.deps.watch.backlog
    await watch.refresh()
    if known._late_since is not None:
        known._late_since -= PATIENCE_S
        await watch.refresh()


async def test_while_accepted_jobs_wait_too_long_for_the_platform_few_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What one bulk submission brings is owed for most of a minute, however long the test takes.
    monkeypatch.setattr(backlog, "LEAST", 1.0)
    monkeypatch.setattr(watchlist, "FRESH_S", 60.0)
    async with staged(tmp_path) as stage:
        token = await stage.client("flood", "enterprise", **OVER)
        await _late(stage, 4_000)
        assert {(await stage.submit(token)).status_code for _ in range(9)} == {202}
        await _late(stage, 12_000)
        many = {"jobs": [SIEVE] * 50}
        reply = await stage.ask("POST", "/v1/jobs:batch", token, many, Idempotency_Key=new_key())
        assert (reply.status_code, reply.json()["accepted"]) == (200, 50)
        for path, body in (("/v1/jobs", SIEVE), ("/v1/jobs:batch", many)):
            reply = await stage.ask("POST", path, token, body, Idempotency_Key=new_key())
            assert (reply.status_code, reply.json()["code"]) == (503, "overloaded")
            assert 1 <= int(reply.headers["retry-after"]) <= 14
            assert "wait 12 s" in reply.json()["detail"]
        assert (await stage.ask("GET", "/v1/jobs", token)).status_code == 200, "submissions alone"


async def test_what_settlement_said_long_ago_keeps_nobody_out(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await _late(stage, 12_000, ago_ms=round(FRESH_S * 1000) + 1)
        assert not stage.deps.watch.backlog.standing
        await _late(stage, 12_000, ago_ms=-60_000)
        assert not stage.deps.watch.backlog.standing, "nor what a clock said that was ahead"
        await _late(stage, 12_000)
        assert stage.deps.watch.backlog.standing
        await _late(stage, 0)
        assert not stage.deps.watch.backlog.standing
