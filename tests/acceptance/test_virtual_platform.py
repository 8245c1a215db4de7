"""The whole pipeline in virtual time: what was promised of every job holds, and a seed gives the same log again."""

import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from simulator.chain.memory import MemoryChain
from simulator.environment import time_skipping
from simulator.intake.records import Tenant
from simulator.platform import Platform
from simulator.store.port import Row, Tx
from tests.support.virtual import START_MS, play, settled
from zjops.domain.clock import run_virtual, utc_date, utc_month
from zjops.domain.errors import Problem
from zjops.domain.ids import job_id
from zjops.domain.jobs import ANCHORED, JobState
from zjops.domain.logfiles import log_files, those_that_count

ROOT = Path(__file__).parents[2]
SIEVE = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100}}


def _synthetic(**parameters: Any) -> dict[str, Any]:
    return {"jobType": "ml_inference", "parameters": {"algorithm": "synthetic", **parameters}}


def _run(folder: Path, story: Callable[[Platform, Tenant], Awaitable[Any]], **settings: Any) -> Any:
    async def whole() -> Any:
        platform = time_skipping(1, START_MS, folder, **settings)
        await platform.start()
        try:
            return await story(platform, await platform.add_tenant("acme", "starter"))
        finally:
            await platform.stop()

    return run_virtual(whole())


async def _submit(platform: Platform, tenant: Tenant, body: dict[str, Any], key: int = 1) -> str:
    accepted = await platform.intake.submit(tenant, json.dumps(body).encode(), uuid.UUID(int=key, version=4), None)
    return accepted.job_id


async def _jobs(platform: Platform) -> list[Row]:
    return await platform.ports.store.read(lambda tx: tx.all("export_jobs", after=b"", most=10_000))


async def _days(platform: Platform) -> list[Row]:
    return await platform.ports.store.read(lambda tx: tx.all("usage_days_of", tenant="acme", first="", last="9"))


async def _usage(platform: Platform) -> Row:
    def read(tx: Tx) -> Row | None:
        return tx.one("usage_get", tenant="acme", month=utc_month(START_MS))

    row = await platform.ports.store.read(read)
    assert row is not None
    return row


def _log(folder: Path) -> pl.DataFrame:
    return pl.read_parquet([file.path for file in those_that_count(log_files(folder / "events"))]).sort("stream_seq")


def test_a_finished_day_of_the_log_is_one_file_of_the_same_rows(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> None:
        for key in range(8):
            await _submit(platform, tenant, SIEVE, key)
            await platform.ports.clock.sleep(5_400)
        await platform.ports.clock.sleep(7_200)

    _run(tmp_path, story, batch_max_age_s=60.0)
    assert _log(tmp_path)["stream_seq"].to_list() == list(range(1, 8 * 4 + 1))
    days = Counter(file.day for file in log_files(tmp_path / "events"))
    assert next(iter(days.values())) == 1 < len(days)


def test_every_job_ends_once_is_charged_once_and_confirmed_once(tmp_path: Path) -> None:
    async def story() -> list[Row]:
        platform = time_skipping(3, START_MS, tmp_path)
        await platform.start()
        accepted = await play(platform, 400, 1800, 3)
        rows = await _jobs(platform)
        await platform.stop()
        assert len(accepted) == len(set(accepted)) == len(rows) == 400
        return rows

    rows = run_virtual(story())
    log = _log(tmp_path)
    assert log["stream_seq"].to_list() == list(range(1, len(log) + 1))
    events = Counter(zip(log["job_id"], log["type"], strict=True))
    assert set(events.values()) == {1}
    for row in rows:
        ending = "completed" if row["status"] == "confirmed" else row["status"]
        assert [kind for key, kind in events if key == row["id"] and kind in ("completed", "failed", "cancelled")] == [
            ending
        ]
        assert events[(row["id"], "confirmed")] == 1
        assert row["charge"] == ("released" if row["error_code"] == "dead_letter" else "charged")
    assert sorted(r["chain_sequence"] for r in rows) == list(range(1, 401))
    assert log.filter(pl.col("type") == "confirmed")["gas_share"].sum() == 57_000 * len({r["batch_id"] for r in rows})


def test_the_units_of_the_log_are_the_units_of_the_counters(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> Row:
        for key in range(20):
            await _submit(platform, tenant, _synthetic(failure={"kind": "failed", "probability": 0.5}, seed=key), key)
        await settled(platform)
        return await _usage(platform)

    usage = _run(tmp_path, story)
    log = _log(tmp_path)
    charged = log.filter(pl.col("charge") == "charged", pl.col("type").is_in(["completed", "failed"]))
    assert usage["held"] == 0
    assert charged["compute_units"].sum() == usage["charged"]
    assert usage["charged"] + usage["released"] == 2000
    assert usage["released"] > 0


def test_the_days_of_a_tenant_add_to_its_month_whatever_becomes_of_its_jobs(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> tuple[Row, list[Row], list[Row]]:
        for key in range(12):
            job = await _submit(platform, tenant, _synthetic(failure={"kind": "retry", "probability": 0.6}), key)
            if key % 4 == 0:
                await platform.intake.cancel("acme", job)
            await platform.ports.clock.sleep(3_600)
        await settled(platform)
        await _submit(platform, tenant, _synthetic(duration_ms=600_000), 99)
        return await _usage(platform), await _days(platform), await _jobs(platform)

    month, days, jobs = _run(tmp_path, story)
    assert len(days) == 2
    for name in ("held", "charged", "released"):
        assert sum(day[name] for day in days) == month[name] > 0
        for day in days:
            mine = [job for job in jobs if utc_date(job["accepted_at"]) == day["day"] and job["charge"] == name]
            assert sum(job["compute_units"] for job in mine) == day[name]
    assert sum(day["jobs"] for day in days) == len(jobs) == 13
    assert sum(day["charged_jobs"] for day in days) == sum(job["charge"] == "charged" for job in jobs)


def test_the_same_key_and_payload_replay_free_and_another_payload_is_refused(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> Row:
        first, second = await _submit(platform, tenant, SIEVE), await _submit(platform, tenant, SIEVE)
        assert first == second
        with pytest.raises(Problem) as refused:
            await _submit(platform, tenant, SIEVE | {"priority": 1})
        assert refused.value.kind.code == "idempotency-key-reused"
        assert len(await _jobs(platform)) == 1
        return await _usage(platform)

    assert _run(tmp_path, story)["held"] == 100


def test_a_key_is_forgotten_after_a_day(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> int:
        await _submit(platform, tenant, SIEVE)
        await platform.ports.clock.sleep(86_401)
        await _submit(platform, tenant, SIEVE)
        return len(await _jobs(platform))

    assert _run(tmp_path, story) == 2


def test_jobs_that_are_cancelled_while_they_wait_keep_no_worker_busy(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> JobState:
        runaways = [await _submit(platform, tenant, _synthetic(duration_ms=600_000), key) for key in range(60)]
        await platform.ports.clock.sleep(1)
        for job in runaways:
            await platform.intake.cancel("acme", job)
        wanted = await _submit(platform, tenant, _synthetic(), 99)
        await platform.ports.clock.sleep(60)
        (state,) = [row["status"] for row in await _jobs(platform) if job_id(row["id"]) == wanted]
        return JobState(state)

    assert _run(tmp_path, story) in ANCHORED | {JobState.CONFIRMED}


def test_a_pending_job_is_cancelled_at_once_and_never_reaches_the_chain(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> Row:
        job = await _submit(platform, tenant, SIEVE)
        await platform.intake.cancel("acme", job)
        await platform.ports.clock.sleep(120)
        assert (await _usage(platform))["released"] == 100
        with pytest.raises(Problem):
            await platform.intake.cancel("other", job)
        return (await _jobs(platform))[0]

    row = _run(tmp_path, story)
    assert (row["status"], row["charge"], row["batch_id"]) == ("cancelled", "released", None)


def test_a_running_job_is_stopped_and_charged(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> Row:
        job = await _submit(platform, tenant, _synthetic(duration_ms=60_000))
        await platform.ports.clock.sleep(15)
        assert (await _jobs(platform))[0]["status"] == "processing"
        await platform.intake.cancel("acme", job)
        await platform.ports.clock.sleep(30)
        return (await _jobs(platform))[0]

    row = _run(tmp_path, story)
    assert (row["status"], row["charge"]) == ("cancelled", "charged")
    assert row["processing_ms"] < 30_000


def test_a_job_that_fails_five_times_is_a_dead_letter_and_released(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> Row:
        await _submit(platform, tenant, _synthetic(failure={"kind": "retry"}))
        await settled(platform)
        return (await _jobs(platform))[0]

    row = _run(tmp_path, story)
    assert (row["status"], row["attempt"], row["dead_letter"], row["charge"]) == ("failed", 5, 1, "released")
    assert row["confirmed_at"] is not None


def test_a_job_over_its_time_is_ended(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> Row:
        await _submit(platform, tenant, _synthetic(duration_ms=120_000) | {"timeoutSeconds": 60})
        await settled(platform)
        return (await _jobs(platform))[0]

    row = _run(tmp_path, story)
    assert (row["status"], row["error_code"], row["charge"]) == ("failed", "timeout", "released")


def test_a_reorganisation_repeats_no_event_and_the_same_transaction_is_sent_again(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> tuple[Row, Row]:
        chain = platform.ports.chain
        assert isinstance(chain, MemoryChain)
        await _submit(platform, tenant, SIEVE)
        batch: Row = {"state": ""}
        while batch["state"] != "mined":
            await platform.ports.clock.sleep(0.5)
            batch = (await platform.ports.store.read(lambda tx: tx.all("export_batches", after=0, most=1)) or [batch])[
                0
            ]
        chain.reorg(2)
        await settled(platform)
        return batch, (await platform.ports.store.read(lambda tx: tx.all("export_batches", after=0, most=9)))[0]

    before, after = _run(tmp_path, story)
    assert after["state"] == "final"
    assert after["block_hash"] != before["block_hash"]
    assert after["tx_hash"] == before["tx_hash"]
    assert _log(tmp_path)["type"].to_list().count("confirmed") == 1


def test_quota_is_refused_when_it_is_used_up_and_nothing_is_stored(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> None:
        small = await platform.add_tenant("small", "free", compute_units=150)
        await _submit(platform, small, SIEVE, 1)
        with pytest.raises(Problem) as refused:
            await _submit(platform, small, SIEVE, 2)
        assert refused.value.status == 402
        assert len(await _jobs(platform)) == 1

    _run(tmp_path, story)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/jobType", "#/parameters"]),
        (SIEVE | {"priority": 11, "timeoutSeconds": 1}, ["#/priority", "#/timeoutSeconds"]),
        (SIEVE | {"extra": 1}, ["#/extra"]),
        (
            {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 10**9}},
            ["#/parameters/limit"],
        ),
        ({"jobType": "compute_heavy", "parameters": {"algorithm": "mine"}}, ["#/parameters/algorithm"]),
    ],
    ids=["empty", "two fields out of range", "unknown field", "parameter out of bounds", "unknown algorithm"],
)
def test_every_wrong_field_is_named_with_its_pointer(tmp_path: Path, body: dict[str, Any], pointers: list[str]) -> None:
    async def story(platform: Platform, tenant: Tenant) -> list[str]:
        with pytest.raises(Problem) as refused:
            await _submit(platform, tenant, body)
        assert refused.value.status == 422
        return [error.pointer for error in refused.value.errors]

    assert _run(tmp_path, story) == pointers


def test_two_processes_with_other_hash_seeds_give_the_same_log(tmp_path: Path) -> None:
    def once(hash_seed: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.support.virtual", "11", "300", str(tmp_path / hash_seed)]
        env = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    one, other = once("1"), once("2")
    assert one["log"] == other["log"]
    assert one["statuses"] == other["statuses"]
    assert sum(one["statuses"].values()) == 300


def test_only_completed_and_failed_jobs_are_anchored() -> None:
    assert {JobState.COMPLETED, JobState.FAILED} == ANCHORED
