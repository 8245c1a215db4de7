"""What the relayer says of itself: once, by whoever holds the lease, and also while it holds off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from simulator.platform import Platform
from simulator.relayer import PAUSED
from tests.support.relaying import (
    batches_of,
    becomes,
    chain_of,
    heir_of,
    metric,
    relayer_of,
    run,
    state_of,
    submit,
    waits_for,
)
from tests.support.tables import tables
from tests.support.virtual import settled
from zjops.domain.errors import ChainUnavailable


def _pause(platform: Platform, value: str) -> Any:
    return platform.ports.store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value=value))


def test_whoever_lost_the_lease_waits_for_nothing_any_more(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock, store = chain_of(platform), platform.ports.clock, platform.ports.store
        await submit(platform, 1)
        await settled(platform)
        chain.fault = ChainUnavailable("away")
        await submit(platform, 1)
        await waits_for(platform, "rpc_unavailable")
        await clock.sleep(120)
        assert metric(platform, 'relayer_waiting{reason="rpc_unavailable"}') == 1
        assert metric(platform, "relayer_breaker_open") == 1
        far = clock.now_ms() + 10**9
        await store.transact(lambda tx: tx.run("lease_put", name="relayer", owner="other", epoch=99, expires_at=far))
        await clock.sleep(100)
        assert metric(platform, 'relayer_waiting{reason="rpc_unavailable"}') == 0
        assert metric(platform, "relayer_breaker_open") == 0
        assert metric(platform, "relayer_open_batches") == 0

    run(tmp_path, story)


def test_a_pause_counts_while_it_holds_off_too(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        chain.fault = ChainUnavailable("away")
        await clock.sleep(120)
        relayer = relayer_of(platform)
        while relayer._backoff.wait_s(clock.monotonic()) < 28:
            await clock.sleep(0.25)
        await _pause(platform, "1")
        await submit(platform, 5)
        await clock.sleep(15)
        assert await batches_of(platform) == []
        state = await state_of(platform)
        assert (state["state"], state["reason"]) == ("paused", "operator: paused by an operator")
        chain.fault = None
        await _pause(platform, "0")
        await settled(platform)

    run(tmp_path, story)


def test_the_leaves_of_an_adopted_batch_are_published_too(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await submit(platform, 3)
        await becomes(platform, "mined")
        await relayer_of(platform).stop()

        tables(platform.ports.store).execute("DELETE FROM batch_transactions")
        tables(platform.ports.store).execute("UPDATE batches SET state = 'closed', tx_hash = NULL, block_number = NULL")
        (file,) = (path for path in (tmp_path / "batches").rglob("*.json"))
        written = file.read_bytes()
        file.unlink()
        heir = heir_of(platform)
        await heir.start()
        await settled(platform)
        await heir.stop()
        assert len(chain_of(platform).sent) == 1
        assert json.loads(file.read_bytes()) == json.loads(written)

    run(tmp_path, story)
