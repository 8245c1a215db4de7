"""The relayer's corners in virtual time: crashes around a send, a pause, another holder of the lease, failed jobs."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from simulator.chain.memory import MemoryChain
from simulator.environment import Platform, time_skipping
from simulator.lease import Lease
from simulator.relayer import PAUSED, Relayer
from simulator.store.port import Row
from simulator.telemetry import Telemetry
from tests.support.virtual import START_MS, settled
from zjops.domain.clock import run_virtual

SIEVE = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100}}
FAILS = {
    "jobType": "compute_heavy",
    "parameters": {"algorithm": "synthetic", "failure": {"kind": "failed", "probability": 1}},
}


def _run(folder: Path, story: Callable[[Platform], Awaitable[Any]], **settings: Any) -> Any:
    async def whole() -> Any:
        platform = time_skipping(1, START_MS, folder, **settings)
        await platform.start()
        try:
            return await story(platform)
        finally:
            await platform.stop()

    return run_virtual(whole())


async def _submit(platform: Platform, count: int, body: dict[str, Any] = SIEVE) -> None:
    tenant = await platform.add_tenant("acme", "enterprise")
    for _ in range(count):
        key = uuid.UUID(bytes=platform.ports.ids.token(16), version=4)
        await platform.intake.submit(tenant, json.dumps(body).encode(), key, None)


async def _batches(platform: Platform) -> list[Row]:
    return await platform.ports.store.read(lambda tx: tx.all("export_batches", after=0, most=100))


async def _jobs(platform: Platform) -> list[Row]:
    return await platform.ports.store.read(lambda tx: tx.all("export_jobs", after=b"", most=1000))


def test_a_batch_closes_by_count_at_once_and_by_age_otherwise(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await _submit(platform, 25)
        await settled(platform)
        assert [b["count"] for b in await _batches(platform)] == [10, 10, 5]
        full, _, aged = await _batches(platform)
        assert aged["closed_at"] - full["closed_at"] >= 20_000

    _run(tmp_path, story, batch_max_jobs=10, batch_max_age_s=30.0)


def test_a_root_that_was_sent_and_not_written_down_is_adopted_and_not_sent_again(tmp_path: Path) -> None:
    """As after a kill between send and record: the batch is `closed` in the store and mined on the chain."""

    async def story(platform: Platform) -> None:
        chain = platform.ports.chain
        assert isinstance(chain, MemoryChain)
        sent: list[int] = []
        honest = chain.send_root

        async def forgetful(first: int, count: int, root: bytes) -> str:
            sent.append(first)
            await honest(first, count, root)
            await platform.ports.clock.sleep(5)
            raise ConnectionResetError

        chain.send_root = forgetful  # type: ignore[method-assign]
        relayer = next(s for s in platform._roles._services if isinstance(s, Relayer))
        await relayer.stop()
        await _submit(platform, 3)
        await platform.ports.clock.sleep(60)
        fresh = platform._relayer()
        assert isinstance(fresh, Relayer)
        await fresh._lease.hold()
        with contextlib.suppress(ConnectionResetError):
            await fresh.step()
        assert [b["state"] for b in await _batches(platform)] == ["closed"]
        chain.send_root = honest  # type: ignore[method-assign]
        await fresh.start()
        await settled(platform)
        await fresh.stop()
        assert sent == [1]
        assert await chain.next_sequence() == 4
        assert [b["state"] for b in await _batches(platform)] == ["final"]

    _run(tmp_path, story)


def test_a_pause_confirms_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        store = platform.ports.store
        await store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="1"))
        await _submit(platform, 5)
        await platform.ports.clock.sleep(600)
        assert await _batches(platform) == []
        assert {job["status"] for job in await _jobs(platform)} == {"completed"}
        await store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="0"))
        await settled(platform)
        assert {job["status"] for job in await _jobs(platform)} == {"confirmed"}

    _run(tmp_path, story)


def test_whoever_lost_the_lease_writes_nothing_more(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        ports = platform.ports
        first = next(s for s in platform._roles._services if isinstance(s, Relayer))
        await first._lease.hold()
        # Another takes it over behind the first one's back, as after a long pause of its process.
        await ports.store.transact(
            lambda tx: tx.run("lease_put", name="relayer", owner="other", epoch=99, expires_at=START_MS + 10**9)
        )
        await _submit(platform, 3)
        await ports.clock.sleep(300)
        assert await _batches(platform) == []
        other = Relayer(
            ports.store, ports.chain, ports.broker, ports.clock, ports.ids, Telemetry("o", ports.clock, stream=None),
            Lease(ports.store, ports.clock, "relayer", "heir", 60), max_jobs=10, max_age_s=5, depth=3, poll_s=1,
        )  # fmt: skip
        await ports.store.transact(lambda tx: tx.run("lease_drop", name="relayer", owner="other", epoch=99))
        await other.start()
        await settled(platform)
        await other.stop()
        assert sum(b["count"] for b in await _batches(platform)) == 3

    _run(tmp_path, story)


def test_failed_jobs_are_anchored_keep_their_status_and_share_the_gas(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await _submit(platform, 2)
        await _submit(platform, 1, FAILS)
        await settled(platform)
        jobs = await _jobs(platform)
        assert sorted(job["status"] for job in jobs) == ["confirmed", "confirmed", "failed"]
        assert all(job["confirmed_at"] and job["tx_hash"] for job in jobs)
        by_batch: dict[int, int] = {}
        for job in jobs:
            by_batch[job["batch_id"]] = by_batch.get(job["batch_id"], 0) + job["gas_share"]
        assert by_batch == {batch["id"]: batch["gas_used"] for batch in await _batches(platform)}

    _run(tmp_path, story)


def test_a_transaction_that_the_pool_lost_is_sent_again(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = platform.ports.chain
        assert isinstance(chain, MemoryChain)
        honest, dropped = chain.send_root, []

        async def losing(first: int, count: int, root: bytes) -> str:
            tx_hash = await honest(first, count, root)
            if not dropped:
                dropped.append(tx_hash)
                chain.drop()
            return tx_hash

        chain.send_root = losing  # type: ignore[method-assign]
        await _submit(platform, 4)
        await settled(platform)
        (batch,) = await _batches(platform)
        assert batch["tx_hash"] != dropped[0]
        assert await chain.next_sequence() == 5

    _run(tmp_path, story)
