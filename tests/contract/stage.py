"""The whole interface in process, with a store that can be told to fail, and clients of every kind."""

from __future__ import annotations

import base64
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx2

from simulator.blobs.memory import MemoryBlobs
from simulator.broker.memory import MemoryBroker
from simulator.chain.memory import MemoryChain
from simulator.config import Settings
from simulator.identity.clients import ADMIN_SCOPES, SCOPES, store_client
from simulator.interface import Interface
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
REVOKE = "/realms/zama/protocol/openid-connect/revoke"
SIEVE = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100}}
SLOW = {"jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "duration_ms": 600_000}}


_fault: ContextVar[Exception | None] = ContextVar("fault", default=None)


class FaultyStore(MemorySqliteStore):
    """Raises what it is told to, as a store would that is broken or away: to whoever told it and what they began.

    The platform's loops are not meant: one that meets an error of a kind that it does not know ends, and says so.
    """

    @property
    def fault(self) -> Exception | None:  # type: ignore[override]
        return _fault.get()

    @fault.setter
    def fault(self, error: Exception | None) -> None:
        _fault.set(error)


class Stage:
    """The interface, its platform, and what tests need of both."""

    def __init__(self, platform: Platform, interface: Interface, store: FaultyStore, http: httpx2.AsyncClient) -> None:
        self.platform, self.interface, self.store, self.http = platform, interface, store, http
        self.app, self.deps = interface.app, interface.deps
        self.ready = {"store": True}

    async def client(self, tenant: str, plan: str = "starter", scopes: tuple[str, ...] = SCOPES, **over: Any) -> str:
        """A tenant with a client `c-<tenant>`; returns a token."""
        await self.platform.add_tenant(tenant, plan, **over)

        def put(tx: Tx) -> None:
            store_client(
                tx, self.platform.ports.ids, client_id=f"c-{tenant}", secret="s3cret", tenant=tenant, scopes=scopes,
                now=1,
            )  # fmt: skip

        await self.store.transact(put)
        return await self.token(f"c-{tenant}")

    async def token(self, client: str, secret: str = "s3cret") -> str:
        """A fresh token of a client."""
        reply = await self.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=basic(client, secret))
        assert reply.status_code == 200, reply.text
        found: str = reply.json()["access_token"]
        return found

    async def operator(self) -> str:
        """A token of an operator."""
        return await self.client("operations", "enterprise", ADMIN_SCOPES)

    async def ask(self, method: str, path: str, token: str = "", body: Any = None, **headers: str) -> httpx2.Response:
        """One request; a body that is no bytes goes as JSON."""
        given = {"Authorization": f"Bearer {token}"} if token else {}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if body is not None:
            given["Content-Type"] = "application/json"
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, content=content, headers=given)

    async def submit(self, token: str, body: Any = SIEVE, key: str | None = None, **headers: str) -> httpx2.Response:
        """Submit a job."""
        return await self.ask("POST", "/v1/jobs", token, body, Idempotency_Key=key or new_key(), **headers)

    async def job(self, token: str, body: Any = SIEVE) -> str:
        """Submit a job; returns its id."""
        reply = await self.submit(token, body)
        assert reply.status_code == 202, reply.text
        found: str = reply.json()["jobId"]
        return found

    async def sql(self, query: str, **params: Any) -> None:
        """Change the store behind the interface's back."""

        def run(tx: Any) -> None:
            tx._connection.execute(query, params)

        await self.store.transact(run)


def basic(client: str, secret: str = "s3cret") -> dict[str, str]:
    """HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


def new_key() -> str:
    """A fresh idempotency key."""
    return str(uuid.uuid4())


@contextlib.asynccontextmanager
async def staged(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    """A running interface on ports in memory."""
    clock = SystemClock()
    chosen = Settings(**({"batch_max_age_s": 0.05, "block_time_s": 0.02, "poll_s": 0.02, "meter_flush_s": 0.05,
                          "requests_flush_s": 0.05,
                          "webhook_waits_s": (0.01, 0.01, 0.01, 0.01)} | settings))  # fmt: skip
    store = FaultyStore()
    ports = Ports(
        store=store, broker=MemoryBroker(clock), blobs=MemoryBlobs(), slots=InlineSlots(), clock=clock,
        chain=MemoryChain(clock, chain_id=31338, block_time_s=0.02), ids=SystemIds(clock), offload=in_place,
    )  # fmt: skip
    platform = Platform(ports, chosen, Telemetry("api", clock, stream=None), folder, "test")
    await platform.start()
    parts = {"store": True}

    async def readiness() -> dict[str, bool]:
        return parts

    interface = await platform.api(BASE, readiness)
    await interface.start()
    try:
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=interface.app, client=("198.51.100.7", 1234)), base_url=BASE
        ) as http:
            stage = Stage(platform, interface, store, http)
            stage.ready = parts
            yield stage
    finally:
        await interface.stop()
        await platform.stop()
