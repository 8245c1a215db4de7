"""The composition root: the only file that imports adapters and puts the platform together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from starlette.types import ASGIApp

from simulator.api.app import build_app
from simulator.api.deps import ApiDeps, Readiness
from simulator.api.strictjson import decode
from simulator.blobs.memory import MemoryBlobs
from simulator.blobs.port import Blobs
from simulator.broker.memory import MemoryBroker
from simulator.broker.port import Broker
from simulator.chain.memory import MemoryChain
from simulator.chain.port import Chain
from simulator.config import Settings
from simulator.gateway.directory import Directory
from simulator.identity.issuer import REALM_PATH, Issuer
from simulator.identity.verifier import Verifier
from simulator.intake import Intake, Tenant
from simulator.lease import Lease
from simulator.metering import Meter, Offload, in_place
from simulator.outbox import Relay
from simulator.relayer import Relayer
from simulator.service import Stack
from simulator.settlement import Settlement
from simulator.store.port import Store, Tx
from simulator.store.sqlite import MemorySqliteStore
from simulator.telemetry import Telemetry
from simulator.worker.executor import Executor
from simulator.worker.handlers import validate
from simulator.worker.slots import InlineSlots, Slots
from simulator.worker.worker import Worker
from zjops.domain.clock import Clock, VirtualClock
from zjops.domain.events import DURABLES, STREAMS
from zjops.domain.ids import Ids, SeededIds
from zjops.domain.plans import price_book


@dataclass(frozen=True)
class Ports:
    """Everything that differs between one environment and another."""

    store: Store
    broker: Broker
    chain: Chain
    blobs: Blobs
    slots: Slots
    clock: Clock
    ids: Ids
    offload: Offload


class Platform:
    """All roles on one set of ports, in one process."""

    def __init__(self, ports: Ports, settings: Settings, telemetry: Telemetry, log_dir: Path, owner: str) -> None:
        self.ports, self.settings, self.telemetry = ports, settings, telemetry
        self._owner = owner
        self.relay = self._relay()
        self.intake = Intake(
            ports.store, ports.blobs, ports.clock, ports.ids, telemetry, decode=decode, validate=validate,
            wake=self.relay.wake, signal=ports.broker.signal, keep_s=settings.idempotency_s,
        )  # fmt: skip
        meter = Meter(
            ports.broker, log_dir, ports.clock, telemetry, flush_s=settings.meter_flush_s, idle_s=settings.idle_s,
            offload=ports.offload,
        )  # fmt: skip
        self._infrastructure = Stack(ports.store, ports.broker, ports.chain)
        self._roles = Stack(self.relay, self._settlement(), self._relayer(), meter, self._worker())

    def _lease(self, name: str) -> Lease:
        return Lease(self.ports.store, self.ports.clock, name, self._owner, self.settings.lease_s)

    def _relay(self) -> Relay:
        ports, settings = self.ports, self.settings
        return Relay(
            ports.store, ports.broker, ports.clock, self.telemetry, self._lease("outbox"),
            poll_s=settings.poll_s, keep_s=settings.outbox_keep_s,
        )  # fmt: skip

    def _settlement(self) -> Settlement:
        ports, settings = self.ports, self.settings
        return Settlement(
            ports.store, ports.broker, ports.blobs, ports.clock, ports.ids, self.telemetry,
            retry_first_s=settings.retry_first_s, retry_most_s=settings.retry_most_s, poll_s=settings.poll_s,
            idle_s=settings.idle_s,
        )  # fmt: skip

    def _relayer(self) -> Relayer:
        ports, settings = self.ports, self.settings
        return Relayer(
            ports.store, ports.chain, ports.broker, ports.clock, ports.ids, self.telemetry, self._lease("relayer"),
            max_jobs=settings.batch_max_jobs, max_age_s=settings.batch_max_age_s, depth=settings.finality_depth,
            poll_s=settings.block_time_s,
        )  # fmt: skip

    def _worker(self) -> Worker:
        ports = self.ports
        executor = Executor(ports.slots, ports.blobs, ports.clock)
        return Worker(
            ports.broker, ports.slots, executor, ports.clock, self.telemetry,
            concurrency=self.settings.worker_slots, idle_s=self.settings.idle_s,
        )  # fmt: skip

    async def start(self) -> None:
        """Start the ports, make streams and durables, start the roles."""
        await self._infrastructure.start()
        await self.ports.broker.ensure(STREAMS, DURABLES)
        await self._roles.start()

    async def stop(self) -> None:
        """Stop everything in reverse."""
        await self._roles.stop()
        await self._infrastructure.stop()

    async def api(self, base_url: str, readiness: Readiness, processes: int = 1) -> ASGIApp:
        """The REST interface on this platform, which must be started: its gateway, issuer and routers."""
        ports, settings = self.ports, self.settings
        issuer = Issuer(ports.store, ports.clock, ports.ids, issuer=base_url + REALM_PATH, audience=settings.audience)
        await issuer.start()
        verifier = Verifier(ports.clock, issuer.jwks, issuer=issuer.issuer, audience=settings.audience)
        deps = ApiDeps(
            store=ports.store, blobs=ports.blobs, clock=ports.clock, ids=ports.ids, intake=self.intake, issuer=issuer,
            verifier=verifier, directory=Directory(ports.store, ports.clock), telemetry=self.telemetry,
            chain=await ports.chain.identity(), readiness=readiness, base_url=base_url, wake=self.relay.wake,
        )  # fmt: skip
        return build_app(deps, processes=processes)

    async def add_tenant(self, tenant: str, plan: str, **overrides: Any) -> Tenant:
        """Make a tenant on a plan with negotiated values; one that exists stays as it is."""
        terms = price_book().plan(plan, overrides)

        def put(tx: Tx) -> None:
            values = msgspec.json.encode(overrides, order="sorted").decode()
            now = self.ports.clock.now_ms()
            tx.run("tenant_put", tenant=tenant, name=None, plan=plan, overrides=values, now=now)

        await self.ports.store.transact(put)
        return Tenant(tenant, terms, "active")


def time_skipping(seed: int, start_ms: int, log_dir: Path, **settings: Any) -> Platform:
    """The platform on memory ports and virtual time: call it inside a `VirtualLoop`.

    The same seed and the same order of submissions give the same log, byte for byte.
    """
    chosen = Settings(
        **({"poll_s": 10.0, "lease_s": 60.0, "worker_slots": 8, "meter_flush_s": 600.0, "idle_s": 3600.0} | settings)
    )
    clock = VirtualClock(start_ms)
    ports = Ports(
        store=MemorySqliteStore(), broker=MemoryBroker(clock), blobs=MemoryBlobs(), slots=InlineSlots(), clock=clock,
        chain=MemoryChain(clock, chain_id=chosen.chain_id, block_time_s=chosen.block_time_s),
        ids=SeededIds(clock, seed), offload=in_place,
    )  # fmt: skip
    return Platform(ports, chosen, Telemetry("platform", clock, stream=None), log_dir, owner=f"virtual-{seed}")
