"""The composition root: the only file that imports adapters and puts them behind a platform's ports.

Adapters are loaded where they are used: a process loads those of its roles and no others.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from simulator.broker.port import Broker
from simulator.chain.deployment import ensure_deployment
from simulator.chain.port import Chain, ChainIdentity
from simulator.config import STORE_FILE, Settings
from simulator.faults.switchboard import Switchboard
from simulator.platform import ROLES, Platform, Ports
from simulator.service import Service
from simulator.store.port import Store, Tx
from simulator.store.sharing import Sharing
from simulator.telemetry import Telemetry
from simulator.worker.slots import InlineSlots, ProcessSlots
from zjops.domain.clock import Clock, SystemClock, VirtualClock
from zjops.domain.errors import ChainUnavailable, StoreUnavailable
from zjops.domain.ids import Ids, SeededIds, SystemIds
from zjops.domain.requests import PROBER_TENANT
from zjops.domain.runfile import RunFile

PROBER_VALUES = {"compute_units": 10**8}
"""A no-op job a minute is 4.5 million compute units a month, which the prober's free plan does not hold."""


def time_skipping(
    seed: int, start_ms: int, log_dir: Path, roles: Sequence[str] = ROLES, *, keep_streams: bool = True,
    over: Callable[[Ports], Ports] = lambda ports: ports, **settings: Any,
) -> Platform:  # fmt: skip
    """The platform on memory ports and virtual time: call it inside a `VirtualLoop`.

    The same seed and the same order of submissions give the same log, byte for byte. Where nobody reads the streams
    again, they need not keep what was heard. `over` may put something around the ports.
    """
    from simulator.blobs.memory import MemoryBlobs
    from simulator.broker.memory import MemoryBroker
    from simulator.chain.memory import MemoryChain
    from simulator.service import in_place
    from simulator.store.memory import MemoryStore

    unhurried: dict[str, Any] = {
        "poll_s": 10.0, "lease_s": 60.0, "outbox_mark_s": 0.0, "linger_s": 0.0, "worker_slots": 8,
        "meter_flush_s": 600.0, "idle_s": 3600.0, "compact_every_s": 3600.0,
    }  # fmt: skip
    chosen = Settings(**(unhurried | settings))
    clock = VirtualClock(start_ms)
    ports = Ports(
        store=MemoryStore(anchors="relayer" in roles), broker=MemoryBroker(clock, keeps=keep_streams),
        blobs=MemoryBlobs(), slots=InlineSlots(), clock=clock,
        chain=MemoryChain(clock, chain_id=chosen.chain_id, block_time_s=chosen.block_time_s),
        ids=SeededIds(clock, seed), offload=in_place,
    )  # fmt: skip
    owner = f"virtual-{seed}"
    return Platform(over(ports), chosen, Telemetry("platform", clock, stream=None), log_dir, owner, roles)


def beside(platform: Platform, log_dir: Path, roles: Sequence[str]) -> Platform:
    """Roles of another process of a time-skipping platform, which can be stopped and started by themselves."""
    from simulator.broker.memory import MemoryBroker

    ports = platform.ports
    assert isinstance(ports.broker, MemoryBroker)
    own = dataclasses.replace(ports, broker=ports.broker.beside())
    name = "+".join(roles)
    return Platform(own, platform.settings, Telemetry(name, ports.clock, stream=None), log_dir, f"beside-{name}", roles)


def faults_of(home: Path, process: str, telemetry: Telemetry) -> tuple[Switchboard, Service]:
    """The faults of a role process, and the service that hears of them."""
    from simulator.faults.ballast import Ballast, teller
    from simulator.faults.switchboard import FaultWatch

    clock = SystemClock()
    faults = Switchboard(clock)
    watch = FaultWatch(faults, home, process, clock)
    watch.also(Ballast(teller(home, process, telemetry.log)).act)
    return faults, watch


async def local(
    home: Path, run: RunFile, roles: Sequence[str], settings: Settings, telemetry: Telemetry, faults: Switchboard,
    sharing: Sharing,
) -> Platform:  # fmt: skip
    """Roles on the real parts of a home: SQLite, files, the NATS server and the chain that `run` names.

    Around each part stands what can make it fail, and does nothing until `faults` says so. `sharing` is how this
    process shares the store's file with the others.
    """
    from simulator.blobs.files import FileBlobs
    from simulator.broker.nats import NatsBroker
    from simulator.faults.breaking import SWITCH, broken
    from simulator.faults.chains import FaultyChain
    from simulator.faults.inside import FaultyClock
    from simulator.faults.wrappers import FaultyBlobs, FaultyBroker, FaultyStore, full_log
    from simulator.store.sqlite import SqliteStore

    clock = FaultyClock(SystemClock(), faults)
    ids = SystemIds(clock)
    store = SqliteStore(home / STORE_FILE, sharing)
    chain = await _web3_chain(home, run, settings, clock, ids) if "relayer" in roles else NoChain()
    faulty: tuple[Store, Broker] = (
        FaultyStore(store, faults, clock, SystemClock().pause),
        FaultyBroker(NatsBroker(run.nats_url, run.nats_user, run.nats_password), faults),
    )
    if SWITCH in os.environ:
        faulty = broken(os.environ[SWITCH], *faulty, faults)
    ports = Ports(
        store=faulty[0], broker=faulty[1],
        blobs=FaultyBlobs(FileBlobs(home / "blobs"), faults), slots=ProcessSlots(settings.worker_slots), clock=clock,
        ids=ids, chain=FaultyChain(chain, faults), offload=asyncio.to_thread, used_s=time.thread_time,
        around_log=partial(full_log, faults=faults),
    )  # fmt: skip
    return Platform(
        ports, settings, telemetry, home / "log", f"{run.run_id}-{ids.token(4).hex()}", roles, _ports_of(run),
        workers=sum("worker" in entry.roles for entry in run.processes) or 1,
    )  # fmt: skip


def _ports_of(run: RunFile) -> frozenset[int]:
    """The ports of the platform itself, to which no webhook may go."""
    urls = (run.api_url, run.control_url, run.nats_url, run.rpc_url)
    ports = [urlsplit(url).port for url in urls] + [entry.port for entry in run.processes]
    return frozenset(port for port in ports if port)


class NoChain:
    """Stands where a process has no business with the chain: asking it is a mistake."""

    def __getattr__(self, name: str) -> Any:
        raise ChainUnavailable("this process does not talk to the chain")


async def _web3_chain(home: Path, run: RunFile, settings: Settings, clock: Clock, ids: Ids) -> Chain:
    """The chain of a home, with the contract deployed the first time."""
    from simulator.chain.keys import ensure_accounts
    from simulator.chain.registry import Web3Chain, deploy

    rpc_url = settings.rpc_url or run.rpc_url
    accounts = ensure_accounts(home, ids, settings.keystore_file, settings.keystore_password_file)
    if settings.chain == "anvil" and not settings.rpc_url:
        from simulator.chain.anvil import fund

        await fund(rpc_url, [accounts.admin.address, accounts.operator.address], clock)

    async def first() -> ChainIdentity:
        contract, code_hash = await deploy(
            rpc_url, admin_key=accounts.admin.unlock(), operator=accounts.operator.address, chain_id=run.chain_id,
            clock=clock,
        )  # fmt: skip
        return ChainIdentity(run.chain_id, contract, code_hash)

    deployment = await ensure_deployment(home, first, clock)
    return Web3Chain(
        rpc_url, contract=deployment.contract, operator_key=accounts.operator.unlock(),
        chain_id=deployment.chain_id, code_hash=deployment.code_hash,
    )  # fmt: skip


def devnet(home: Path, settings: Settings) -> Any:
    """The development chain of a home, as a service with an application."""
    from simulator.chain.devnet.node import Node
    from simulator.chain.keys import ensure_accounts

    clock = SystemClock()
    accounts = ensure_accounts(home, SystemIds(clock), settings.keystore_file, settings.keystore_password_file)
    return Node(
        home, chain_id=settings.chain_id, block_time_s=settings.block_time_s, clock=clock,
        funded=[accounts.admin.address, accounts.operator.address], clock_offset_s=settings.chain_clock_offset_s,
    )  # fmt: skip


def seed_clients(run: RunFile, ids: Ids, now_ms: int) -> Callable[[Tx], None]:
    """A transaction that makes the tenants and clients that `run` names, the operator's among them."""
    from simulator.identity.clients import store_client

    negotiated = {PROBER_TENANT: PROBER_VALUES}
    entries = [run.operator, *run.clients, *([run.prober] if run.prober else [])]

    def put(tx: Tx) -> None:
        for entry in entries:
            overrides = msgspec.json.encode(negotiated.get(entry.tenant, {})).decode()
            tx.run("tenant_put", tenant=entry.tenant, name=None, plan=entry.plan, overrides=overrides, now=now_ms)
            store_client(
                tx, ids, client_id=entry.client_id, secret=entry.client_secret, tenant=entry.tenant,
                scopes=tuple(entry.scopes), now=now_ms,
            )  # fmt: skip

    return put


async def begin_store(folder: Path, put: Callable[[Tx], None]) -> None:
    """Make the store of a home that begins with what a transaction puts there. Raises `StoreUnavailable`."""
    from simulator.store.sqlite import SqliteStore

    store = SqliteStore(folder / STORE_FILE)
    await store.start()
    try:
        await store.transact(put)
    finally:
        await store.stop()


async def export_home(home: Path, file: IO[bytes]) -> None:
    """The consistent export of a platform that need not run. Raises `StoreUnavailable`."""
    from simulator.export import export_to
    from simulator.store.sqlite import SqliteStore

    path = home / STORE_FILE
    if not path.exists():
        raise StoreUnavailable(f"there is no store in {home}; name the platform's folder with --home")
    store = SqliteStore(path)
    await store.start()
    try:
        await export_to(store, SystemClock(), file)
    finally:
        await store.stop()
