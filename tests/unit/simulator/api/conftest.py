from __future__ import annotations

import base64
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from simulator.blobs.memory import MemoryBlobs
from simulator.broker.memory import MemoryBroker
from simulator.chain.memory import MemoryChain
from simulator.config import Settings
from simulator.identity.clients import ADMIN_SCOPES, SCOPES, store_client
from simulator.platform import Platform, Ports
from simulator.service import in_place
from simulator.store.port import Tx
from simulator.store.sqlite import MemorySqliteStore
from simulator.telemetry import Telemetry
from simulator.worker.slots import InlineSlots
from zjops.domain.clock import SystemClock
from zjops.domain.ids import SystemIds

BASE = "http://127.0.0.1:8080"
TOKEN = "/realms/zama/protocol/openid-connect/token"


class Api:
    """The REST interface in process, and clients of it."""

    def __init__(self, platform: Platform, http: httpx2.AsyncClient) -> None:
        self.platform, self.http = platform, http

    async def client(self, tenant: str, plan: str = "starter", scopes: tuple[str, ...] = SCOPES, **over: Any) -> str:
        """Make a tenant with a client; returns an access token."""
        await self.platform.add_tenant(tenant, plan, **over)

        def put(tx: Tx) -> None:
            store_client(
                tx, self.platform.ports.ids, client_id=f"c-{tenant}", secret="s3cret", tenant=tenant,
                scopes=scopes, now=1,
            )  # fmt: skip

        await self.platform.ports.store.transact(put)
        basic = base64.b64encode(f"c-{tenant}:s3cret".encode()).decode()
        reply = await self.http.post(
            TOKEN, data={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
        )
        assert reply.status_code == 200, reply.text
        token: str = reply.json()["access_token"]
        return token

    async def operator(self) -> str:
        """A token that may do what operators do."""
        return await self.client("operations", "enterprise", ADMIN_SCOPES)

    async def submit(self, token: str, body: Any, key: str | None = None, **headers: str) -> httpx2.Response:
        """Send one job, whatever the body is."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        given["Idempotency-Key"] = key or str(uuid.uuid4())
        return await self.http.post("/v1/jobs", content=data, headers=given | headers)

    async def get(self, token: str, path: str) -> httpx2.Response:
        """Read something."""
        return await self.http.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    clock = SystemClock()
    settings = Settings(batch_max_age_s=0.05, block_time_s=0.02, poll_s=0.02, meter_flush_s=0.02)
    ports = Ports(
        store=MemorySqliteStore(), broker=MemoryBroker(clock), blobs=MemoryBlobs(), slots=InlineSlots(), clock=clock,
        chain=MemoryChain(clock, chain_id=31338, block_time_s=0.02), ids=SystemIds(clock), offload=in_place,
    )  # fmt: skip
    platform = Platform(ports, settings, Telemetry("api", clock, stream=None), tmp_path, "test")
    await platform.start()

    async def readiness() -> dict[str, bool]:
        return {"store": True, "broker": True, "chain": True}

    interface = await platform.api(BASE, readiness)
    await interface.start()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=interface.app), base_url=BASE) as http:
        yield Api(platform, http)
    await interface.stop()
    await platform.stop()
