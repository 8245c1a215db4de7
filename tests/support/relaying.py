"""A platform in virtual time for tests of the relayer: what they do with it, and what they look at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from simulator.chain.memory import MemoryChain
from simulator.environment import time_skipping
from simulator.platform import Platform
from simulator.relayer import Relayer
from simulator.relayer.reporting import STATE
from simulator.store.port import Row
from tests.support.virtual import START_MS
from zjops.domain.clock import run_virtual

SIEVE = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100}}
FAILS = {
    "jobType": "compute_heavy",
    "parameters": {"algorithm": "synthetic", "failure": {"kind": "failed", "probability": 1}},
}


def run(folder: Path, story: Callable[[Platform], Awaitable[Any]], **settings: Any) -> Any:
    """Play a story on a started platform; returns what it returns."""

    async def whole() -> Any:
        platform = time_skipping(1, START_MS, folder, **settings)
        await platform.start()
        try:
            return await story(platform)
        finally:
            await platform.stop()

    return run_virtual(whole())


async def submit(platform: Platform, count: int, body: dict[str, Any] = SIEVE) -> None:
    """Submit so many jobs of one tenant."""
    tenant = await platform.add_tenant("acme", "enterprise")
    for _ in range(count):
        key = uuid.UUID(bytes=platform.ports.ids.token(16), version=4)
        await platform.intake.submit(tenant, json.dumps(body).encode(), key, None)


async def batches_of(platform: Platform) -> list[Row]:
    """Every batch, the oldest first."""
    return await platform.ports.store.read(lambda tx: tx.all("export_batches", after=0, most=100))


async def jobs_of(platform: Platform) -> list[Row]:
    """Every job."""
    return await platform.ports.store.read(lambda tx: tx.all("export_jobs", after=b"", most=1000))


def relayer_of(platform: Platform) -> Relayer:
    """The platform's relayer."""
    return next(s for s in platform._roles._services if isinstance(s, Relayer))


def chain_of(platform: Platform) -> MemoryChain:
    """The platform's chain."""
    chain = platform.ports.chain
    assert isinstance(chain, MemoryChain)
    return chain


def heir_of(platform: Platform) -> Relayer:
    """A relayer of another process on the same store."""
    owner, platform._owner = platform._owner, "heir"
    made = platform._relayer()
    platform._owner = owner
    assert isinstance(made, Relayer)
    return made


async def state_of(platform: Platform) -> dict[str, Any]:
    """What the relayer says of itself."""
    row = await platform.ports.store.read(lambda tx: tx.one("setting_get", name=STATE))
    assert row is not None
    found: dict[str, Any] = json.loads(row["value"])
    return found


async def waits_for(platform: Platform, reason: str) -> dict[str, Any]:
    """The relayer's state once it waits for that reason."""
    async with asyncio.timeout(600):
        while True:
            with contextlib.suppress(AssertionError):
                state = await state_of(platform)
                if (state["reason"] or "").startswith(reason):
                    return state
            await platform.ports.clock.sleep(0.5)


async def signed_of(platform: Platform, batch: int) -> list[Row]:
    """What was signed for a batch, the newest first."""
    return await platform.ports.store.read(lambda tx: tx.all("batch_transactions", batch_id=batch))


async def becomes(platform: Platform, *states: str, every_s: float = 0.25) -> list[Row]:
    """The batches, once their states are these."""
    async with asyncio.timeout(3600):
        while True:
            found = await batches_of(platform)
            if [batch["state"] for batch in found] == list(states):
                return found
            await platform.ports.clock.sleep(every_s)


def metric(platform: Platform, name: str) -> float:
    """The value of a metric with its labels, 0 where it was never set."""
    lines = platform.telemetry.metrics_text().decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " ")), 0.0)
