"""Two processes of the API on one SQLite file: no update is lost, no quota overrun, one job for one key."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
import uuid
from multiprocessing.connection import Connection
from pathlib import Path

from simulator.blobs.memory import MemoryBlobs
from simulator.broker.memory import MemoryBroker
from simulator.chain.memory import MemoryChain
from simulator.config import Settings
from simulator.intake.records import Tenant
from simulator.platform import Platform, Ports
from simulator.store.sqlite import SqliteStore
from simulator.telemetry import Telemetry
from simulator.worker.slots import InlineSlots
from zjops.domain.clock import SystemClock, utc_month
from zjops.domain.errors import Problem
from zjops.domain.ids import SystemIds
from zjops.domain.plans import price_book

OVERRIDES = {"compute_units": 20_000, "buffer_percent": 0, "active_jobs": 150}
EACH = 200
BODY = json.dumps({"jobType": "ml_inference", "parameters": {"algorithm": "synthetic"}}).encode()


def _platform(folder: Path) -> Platform:
    clock = SystemClock()
    ports = Ports(
        store=SqliteStore(folder / "store.sqlite"), broker=MemoryBroker(clock), blobs=MemoryBlobs(),
        slots=InlineSlots(), clock=clock, chain=MemoryChain(clock, chain_id=1, block_time_s=1), ids=SystemIds(clock),
        offload=asyncio.to_thread,
    )  # fmt: skip
    return Platform(ports, Settings(), Telemetry("api", clock, stream=None), folder, "t", ["api"])


def submit_all(folder: str, shared: list[str], go: Connection) -> None:
    """One process: its own keys, and those that it shares with the other."""
    asyncio.run(_submit_all(Path(folder), shared, go))


async def _submit_all(folder: Path, shared: list[str], go: Connection) -> None:
    platform = _platform(folder)
    await platform.start()
    tenant = Tenant("acme", price_book().plan("starter", OVERRIDES), "active")
    keys = [uuid.UUID(key) for key in shared] + [uuid.uuid4() for _ in range(EACH)]
    go.send("ready")
    go.recv()

    async def one(key: uuid.UUID) -> tuple[str, str]:
        try:
            return str(key), (await platform.intake.submit(tenant, BODY, key, None)).job_id
        except Problem as problem:
            return str(key), problem.kind.code

    go.send(await asyncio.gather(*map(one, keys)))
    await platform.stop()


async def test_two_processes_share_one_store_without_a_lost_update() -> None:
    shared = [str(uuid.uuid4()) for _ in range(40)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        platform = _platform(folder)
        await platform.start()
        await platform.add_tenant("acme", "starter", **OVERRIDES)
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe() for _ in range(2)]
        processes = [context.Process(target=submit_all, args=(name, shared, theirs)) for _, theirs in pipes]
        for process in processes:
            process.start()
        for ours, _ in pipes:
            assert await asyncio.to_thread(ours.recv) == "ready"
        for ours, _ in pipes:
            ours.send("go")
        told = [dict(await asyncio.to_thread(ours.recv)) for ours, _ in pipes]
        for process in processes:
            await asyncio.to_thread(process.join, 30)

        accepted = {job for part in told for job in part.values() if job.startswith("job_")}
        refused = {code for part in told for code in part.values() if not code.startswith("job_")}
        assert len(accepted) == OVERRIDES["active_jobs"]
        assert refused == {"too-many-active-jobs"}
        for key in shared:
            jobs = {part[key] for part in told if part[key].startswith("job_")}
            assert len(jobs) <= 1
        month = utc_month(SystemClock().now_ms())
        usage = await platform.ports.store.read(lambda tx: tx.one("usage_get", tenant="acme", month=month))
        assert usage is not None
        assert usage["held"] == 100 * len(accepted) <= OVERRIDES["compute_units"]
        rows = await platform.ports.store.read(lambda tx: tx.all("export_jobs", after=b"", most=10_000))
        assert len(rows) == len(accepted)
        await platform.stop()
