"""The run file of a home: what a new run keeps of the former one, and what a killed supervisor left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from simulator.identity.clients import ADMIN_SCOPES, SCOPES
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.ids import Ids, base58
from zjops.domain.requests import OPERATIONS_TENANT, PROBER_TENANT
from zjops.domain.runfile import RUN_FILE, ClientEntry, RunFile, read_run_file

LOCK_FILE = "supervisor.lock"
TENANTS = (("demo-free", "free"), ("demo-starter", "starter"), ("demo-pro", "pro"))
TRAFFIC_TENANT = ("demo-enterprise", "enterprise")
"""Whose jobs most of the traffic is: on any smaller plan a month's units are gone in hours (5/s of 100 units each)."""
PROBER_SCOPES = ("jobs:submit", "jobs:read")
GONE_WITHIN_S = 5.0


@dataclass(frozen=True)
class Addresses:
    """Where the parts of a run listen."""

    api: int
    control: int
    nats: int
    rpc: int


def lock_home(home: Path) -> IO[str]:
    """Make the folder and hold it for this supervisor alone. Raises `UsageError` or `UnreachableError`."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        file = (home / LOCK_FILE).open("w")
    except OSError as exc:
        raise UsageError(f"folder {home} cannot be written ({exc.strerror}); choose another with --home") from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"a platform already runs in {home}; see it with: zjops status") from None
    return file


def former_run(home: Path) -> RunFile | None:
    """The run file that is there, None when there is none or when it cannot be read."""
    with contextlib.suppress(UnreachableError):
        return read_run_file(home)
    return None


def end_leftovers(former: RunFile) -> int:
    """End what a killed supervisor may have left, never a stranger with a recycled pid; returns how many."""
    left = []
    for entry in former.processes:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(entry.pid)
            if entry.pid and abs(process.create_time() - entry.started_at) < 1.0:
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=GONE_WITHIN_S)
    return len(left)


def new_run(
    home: Path, former: RunFile | None, at: Addresses, chain_id: int, finality: str, clock: Clock, ids: Ids, *,
    prober: bool = False, traffic: bool = False,
) -> RunFile:  # fmt: skip
    """A run file with fresh secrets; clients keep theirs for the life of a home, the prober's among them."""
    probing = former.prober if former else None
    if prober and probing is None:
        probing = _client(ids, PROBER_TENANT, "free", PROBER_SCOPES)
    api = f"http://127.0.0.1:{at.api}"
    issuer = f"{api}/realms/zama"
    clients = list(former.clients) if former else [_client(ids, tenant, plan, SCOPES) for tenant, plan in TENANTS]
    if traffic and all(client.tenant != TRAFFIC_TENANT[0] for client in clients):
        clients.append(_client(ids, *TRAFFIC_TENANT, SCOPES))
    return RunFile(
        run_id=ids.token(6).hex(), home=str(home), started_at_ms=clock.now_ms(), supervisor_pid=os.getpid(),
        supervisor_started_at=psutil.Process().create_time(), api_url=api, issuer=issuer,
        token_url=f"{issuer}/protocol/openid-connect/token", control_url=f"http://127.0.0.1:{at.control}",
        control_token=base58(ids.token(32)), nats_url=f"nats://127.0.0.1:{at.nats}", nats_user="zjops",
        nats_password=base58(ids.token(24)), rpc_url=f"http://127.0.0.1:{at.rpc}", chain_id=chain_id,
        finality=finality, log_dir=str(home / "log"), clients=clients,
        operator=former.operator if former else _client(ids, OPERATIONS_TENANT, "enterprise", ADMIN_SCOPES),
        prober=probing,
    )  # fmt: skip


def _client(ids: Ids, tenant: str, plan: str, scopes: tuple[str, ...]) -> ClientEntry:
    client_id = f"{tenant}-{base58(ids.token(6))}"
    return ClientEntry(
        tenant=tenant, plan=plan, client_id=client_id, client_secret=base58(ids.token(32)), scopes=list(scopes)
    )


def run_file_exists(home: Path) -> bool:
    """Whether something ran or runs here."""
    return (home / RUN_FILE).exists()
