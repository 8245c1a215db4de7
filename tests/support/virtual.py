"""Plays traffic on the time-skipping platform: `python -m tests.support.virtual SEED JOBS DIR` tells how it went."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from simulator.environment import time_skipping
from simulator.platform import Platform
from simulator.store.port import Tx
from zjops.domain.clock import run_virtual

START_MS = 1_790_000_000_000
DAY_S = 86_400

BODIES: list[dict[str, Any]] = [
    {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 1000}},
    {"jobType": "data_processing", "parameters": {"algorithm": "aggregate", "rows": [{"g": "a", "v": 1}],
     "group_by": "g", "metrics": [{"column": "v", "function": "sum"}]}},
    {"jobType": "ml_inference", "parameters": {"algorithm": "classify", "features": [[5.0, 3.4, 1.5, 0.2]]}},
    {"jobType": "compute_heavy", "parameters": {"algorithm": "synthetic", "duration_ms":
     {"distribution": "exponential", "mean": 2000}}},
    {"jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "duration_ms": 50,
     "failure": {"kind": "retry", "probability": 0.3}}},
    {"jobType": "data_processing", "parameters": {"algorithm": "synthetic",
     "failure": {"kind": "client_fault", "probability": 0.5}}},
]  # fmt: skip


async def play(platform: Platform, jobs: int, span_s: float, seed: int) -> list[str]:
    """Submit jobs of every kind at random moments, cancel some; returns their ids once all are final."""
    source = random.Random(seed)
    tenants = [await platform.add_tenant(f"load-{n}", "enterprise") for n in range(3)]
    accepted: list[str] = []
    for moment, previous in _moments(source, jobs, span_s):
        await platform.ports.clock.sleep(moment - previous)
        body = json.dumps(source.choice(BODIES) | {"priority": source.randrange(11)}).encode()
        key = uuid.UUID(int=source.getrandbits(128), version=4)
        answer = await platform.intake.submit(source.choice(tenants), body, key, None)
        accepted.append(answer.job_id)
    await settled(platform)
    return accepted


def _moments(source: random.Random, jobs: int, span_s: float) -> list[tuple[float, float]]:
    moments = sorted(source.uniform(0, span_s) for _ in range(jobs))
    return list(zip(moments, [0.0, *moments], strict=False))


async def settled(platform: Platform) -> None:
    """Return once no job is active and no anchored outcome awaits its confirmation."""

    def open_jobs(tx: Tx) -> int:
        rows = tx.all("export_jobs", after=b"", most=1_000_000)
        waiting = (r for r in rows if r["status"] in ("pending", "processing", "completed"))
        return sum(1 for _ in waiting) + sum(1 for r in rows if r["status"] == "failed" and not r["confirmed_at"])

    async with asyncio.timeout(3600):
        while await platform.ports.store.read(open_jobs):
            await platform.ports.clock.sleep(30)
    # One flush interval more, so that the meter has written what was told last.
    await platform.ports.clock.sleep(2 * platform.settings.meter_flush_s)


async def day(seed: int, jobs: int, folder: Path, span_s: float = DAY_S) -> dict[str, Any]:
    """One simulated day; returns counts by status and the digest of the whole log."""
    platform = time_skipping(seed, START_MS, folder, batch_max_age_s=60.0)
    await platform.start()
    await play(platform, jobs, span_s, seed)
    rows = await platform.ports.store.read(lambda tx: tx.all("export_jobs", after=b"", most=1_000_000))
    await platform.stop()
    return {"jobs": len(rows), "statuses": dict(Counter(r["status"] for r in rows)), "log": log_digest(folder)}


def log_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of every file of the log."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.parquet")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    began = time.perf_counter()
    found = run_virtual(day(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
    print(json.dumps(found | {"seconds": round(time.perf_counter() - began, 2)}, sort_keys=True))
