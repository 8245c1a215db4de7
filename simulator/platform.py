"""The platform on any set of ports: which services a role is made of. It knows no adapter; see `environment`.

A process loads the code of the roles that it hosts and of no others, which is why their imports stand where they are
used: the interface needs no EVM client, the worker no HTTP framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from simulator.api.strictjson import decode
from simulator.blobs.port import Blobs
from simulator.broker.port import Broker
from simulator.chain.port import Chain, ChainIdentity
from simulator.config import Settings
from simulator.intake import Intake
from simulator.intake.records import Tenant
from simulator.lease import Lease
from simulator.outbox import Bell, Relay
from simulator.policy.backlog import Behind
from simulator.service import Service, Stack
from simulator.store.port import Store
from simulator.telemetry import Telemetry
from simulator.worker.handlers import validate
from simulator.worker.slots import Slots
from zjops.domain.clock import Clock
from zjops.domain.closed import billing_dir
from zjops.domain.errors import UnreachableError
from zjops.domain.events import DURABLES, EVENTS, STREAMS
from zjops.domain.ids import Ids
from zjops.domain.plans import price_book
from zjops.domain.synthetic import synthetic_part

ROLES = ("outbox", "settlement", "relayer", "meter", "worker")
STORING = frozenset({"api", "outbox", "settlement", "relayer"})
"""Roles that use the store; a worker never does (R101)."""
SAMPLE_EVERY_S = 5.0
GWEI = 10**9
AGAIN_AFTER_BLOCKS = 3
"""A transaction that so many blocks have passed over is sent again: a node that still has it says so."""
STALLED_AFTER_BLOCKS, STALLED_AFTER_S = 10, 10.0
"""A chain without a block for both of them stands still, which is said."""


@dataclass(frozen=True)
class Ports:
    """Everything that differs between one environment and another.

    `used_s` is the processor time that the thread of the event loop has used; `around_log` puts something around what
    writes a file of the log.
    """

    store: Store
    broker: Broker
    chain: Chain
    blobs: Blobs
    slots: Slots
    clock: Clock
    ids: Ids
    offload: Any
    used_s: Callable[[], float] | None = None
    around_log: Callable[[Callable[..., Path]], Callable[..., Path]] = lambda write: write


class Platform:
    """Some roles, or all, on one set of ports in one process."""

    def __init__(
        self, ports: Ports, settings: Settings, telemetry: Telemetry, log_dir: Path, owner: str,
        roles: Sequence[str] = ROLES, own_ports: frozenset[int] = frozenset(), workers: int = 1,
    ) -> None:  # fmt: skip
        """`workers` are those of the whole platform."""
        self.own_ports, self._workers = own_ports, workers
        self.ports, self.settings, self.telemetry, self.roles = ports, settings, telemetry, tuple(roles)
        self._owner, self._log_dir = owner, log_dir
        self.relay = self._outbox() if "outbox" in roles else Bell(ports.broker)
        self.intake = Intake(
            ports.store, ports.blobs, ports.clock, ports.ids, telemetry, decode=decode, validate=validate,
            wake=self.relay.wake, signal=ports.broker.signal, keep_s=settings.idempotency_s, offload=ports.offload,
            lingers=settings.linger_s > 0,
        )  # fmt: skip
        self.behind: Callable[[], Behind] = Behind
        """How far settlement is behind, where this process settles."""
        self._infrastructure = Stack(*self._needed())
        built = [self._build(role) for role in ROLES if role in roles]
        self._roles = Stack(*built) if "outbox" in roles else Stack(self.relay, *built)

    def _needed(self) -> list[Service]:
        """The ports that the roles of this process use."""
        needed: list[Service] = [self.ports.store] if STORING & set(self.roles) else []
        needed.append(self.ports.broker)
        return [*needed, self.ports.chain] if "relayer" in self.roles else needed

    def _build(self, role: str) -> Service:
        builders: dict[str, Callable[[], Service]] = {
            "outbox": lambda: self.relay, "settlement": self._settlement, "relayer": self._relayer,
            "meter": self._meter, "worker": self._worker,
        }  # fmt: skip
        return builders[role]()

    def _lease(self, name: str) -> Lease:
        return Lease(self.ports.store, self.ports.clock, name, self._owner, self.settings.lease_s)

    def _outbox(self) -> Relay:
        ports, settings = self.ports, self.settings
        return Relay(
            ports.store, ports.broker, ports.clock, self.telemetry, self._lease("outbox"),
            poll_s=settings.poll_s, keep_s=settings.outbox_keep_s, mark_s=settings.outbox_mark_s,
            linger_s=settings.linger_s, used_s=ports.used_s if "api" in self.roles else None,
            crowded=lambda: self.intake.crowded,
        )  # fmt: skip

    def _settlement(self) -> Service:
        from simulator.settlement import Settlement

        ports, settings = self.ports, self.settings
        settlement = Settlement(
            ports.store, ports.broker, ports.blobs, ports.clock, ports.ids, self.telemetry,
            retry_first_s=settings.retry_first_s, retry_most_s=settings.retry_most_s, poll_s=settings.poll_s,
            idle_s=settings.idle_s, linger_s=settings.linger_s, owner=self._owner,
            slots=settings.worker_slots * self._workers,
        )  # fmt: skip
        self.behind = settlement.behind
        return Stack(settlement, self._notifier(), self._tiers(), self._housekeeper())

    def _notifier(self) -> Service:
        from simulator.notifier.notifier import Notifier

        ports, settings = self.ports, self.settings
        return Notifier(
            ports.store, ports.clock, ports.ids, self.telemetry, targets=settings.webhook_targets,
            waits_s=settings.webhook_waits_s, timeout_s=settings.webhook_timeout_s, poll_s=settings.poll_s,
            blocked=self.own_ports,
        )  # fmt: skip

    def _tiers(self) -> Service:
        from simulator.tiers import Tiers

        ports = self.ports
        return Tiers(
            ports.store, ports.clock, ports.ids, self.telemetry, wake=self.relay.wake, every_s=self.settings.idle_s,
        )  # fmt: skip

    def _housekeeper(self) -> Service:
        from simulator.housekeeping import Housekeeper

        return Housekeeper(self.ports.store, self.ports.clock, self.telemetry, every_s=self.settings.idle_s)

    def _relayer(self) -> Service:
        from simulator.policy.batching import Batching
        from simulator.policy.fees import Fees
        from simulator.relayer import Relayer, Rules

        ports, settings = self.ports, self.settings
        rules = Rules(
            Batching(settings.batch_max_jobs, settings.batch_max_age_s, settings.batch_by),
            settings.final_by, Fees(round(settings.fee_ceiling_gwei * GWEI), round(settings.tip_ceiling_gwei * GWEI)),
            poll_s=settings.chain_poll_s or settings.block_time_s / 2,
            again_after_s=AGAIN_AFTER_BLOCKS * settings.block_time_s,
            stuck_after_s=settings.stuck_after_s,
            stalled_after_s=max(STALLED_AFTER_S, STALLED_AFTER_BLOCKS * settings.block_time_s),
        )  # fmt: skip
        return Relayer(
            ports.store, ports.chain, ports.broker, ports.clock, ports.ids, self.telemetry, self._lease("relayer"),
            rules=rules, folder=self._log_dir / "batches", offload=ports.offload,
        )  # fmt: skip

    def _meter(self) -> Service:
        from simulator.compaction import Compactor
        from simulator.logfiles import write_file
        from simulator.metering import Meter

        ports, settings = self.ports, self.settings
        write = ports.around_log(write_file)
        meter = Meter(
            ports.broker, self._log_dir, ports.clock, self.telemetry, flush_s=settings.meter_flush_s,
            requests_flush_s=settings.requests_flush_s, idle_s=settings.idle_s, offload=ports.offload,
            write=write,
        )  # fmt: skip
        every_s = settings.compact_every_s
        return Stack(meter, Compactor(
            self._log_dir, ports.clock, self.telemetry, every_s=every_s, offload=ports.offload, write=write
        ))  # fmt: skip

    def _worker(self) -> Service:
        from simulator.worker.executor import Executor
        from simulator.worker.worker import Worker

        ports = self.ports
        executor = Executor(ports.slots, ports.blobs, ports.clock)
        return Worker(
            ports.broker, ports.slots, executor, ports.clock, self.telemetry,
            concurrency=self.settings.worker_slots, idle_s=self.settings.idle_s, linger_s=self.settings.linger_s,
        )  # fmt: skip

    async def start(self) -> None:
        """Start the ports, make streams and durables, start the roles."""
        await self._infrastructure.start()
        before = synthetic_part(self._log_dir)
        await self.ports.broker.ensure(before.last.streams(STREAMS) if before else STREAMS, DURABLES)
        await self._roles.start()

    async def stop(self) -> None:
        """Stop everything in reverse."""
        await self._roles.stop()
        await self._infrastructure.stop()

    async def readiness(self) -> dict[str, bool]:
        """Which of the ports that this process uses answer now."""
        ports = self.ports
        checks: dict[str, Callable[[], Any]] = {"broker": lambda: ports.broker.last(EVENTS)}
        if STORING & set(self.roles):
            checks["store"] = lambda: ports.store.read(lambda tx: tx.one("setting_get", name="ready"))
        if "relayer" in self.roles:
            checks["chain"] = lambda: ports.chain.block("latest")
        return {name: await _answers(check) for name, check in checks.items()}

    async def api(
        self, base_url: str, readiness: Any = None, processes: int = 1, chain: Callable[[], ChainIdentity] | None = None
    ) -> Any:
        """The interface on this platform, which must be started: see `simulator.interface`."""
        from simulator.interface import build_interface

        if chain is None:
            identity = await self.ports.chain.identity()
            chain = lambda: identity  # noqa: E731 - one shape for both cases
        parts = self.ports.store, self.ports.broker, self.ports.blobs, self.ports.clock, self.ports.ids
        return await build_interface(
            *parts, settings=self.settings, telemetry=self.telemetry, intake=self.intake, wake=self.relay.wake,
            base_url=base_url, readiness=readiness or self.readiness, processes=processes, chain=chain,
            billing=billing_dir(self._log_dir), offload=self.ports.offload,
        )  # fmt: skip

    async def add_tenant(self, tenant: str, plan: str, **overrides: Any) -> Tenant:
        """Make a tenant on a plan with negotiated values; one that exists stays as it is."""
        terms = price_book().plan(plan, overrides)
        values = msgspec.json.encode(overrides, order="sorted").decode()
        now = self.ports.clock.now_ms()
        await self.ports.store.transact(
            lambda tx: tx.run("tenant_put", tenant=tenant, name=None, plan=plan, overrides=values, now=now)
        )
        return Tenant(tenant, terms, "active")

    def sampler(self) -> Service:
        """What sets the gauges of the shared queues; one process of a platform runs it."""
        from simulator.sampler import Sampler

        ports = self.ports
        return Sampler(ports.store, ports.broker, ports.clock, self.telemetry, every_s=SAMPLE_EVERY_S)


async def _answers(check: Callable[[], Any]) -> bool:
    try:
        await check()
    except UnreachableError:
        return False
    return True
