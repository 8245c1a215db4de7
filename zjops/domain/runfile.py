"""The schema of `run.json`: what a running platform on this machine is and how to reach it.

The file holds secrets of this run and is written with mode 600, beside and then renamed, so a reader never sees half
of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from zjops.domain.errors import UnreachableError

RUN_FILE = "run.json"
SCHEMA = "zjops.run/1"


class ProcessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One child of the supervisor. `started_at` is the kernel's start time, so that a recycled pid is not mistaken."""

    name: str
    pid: int
    roles: list[str]
    port: int | None = None
    started_at: float = 0.0
    restarts: int = 0


class ClientEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's client credentials, as made for this run."""

    tenant: str
    plan: str
    client_id: str
    client_secret: str
    scopes: list[str]


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a client needs: addresses, credentials of this run, the chain's identity, process ids."""

    schema: str = SCHEMA
    run_id: str
    home: str
    started_at_ms: int
    supervisor_pid: int
    supervisor_started_at: float
    state: str = "starting"
    api_url: str
    issuer: str
    token_url: str
    control_url: str
    control_token: str
    nats_url: str
    nats_user: str
    nats_password: str
    rpc_url: str
    chain_id: int
    contract: str | None = None
    code_hash: str | None = None
    finality: str = "depth:3"
    log_dir: str
    operator: ClientEntry
    clients: list[ClientEntry] = []
    prober: ClientEntry | None = None
    processes: list[ProcessEntry] = []


def write_run_file(home: Path, run: RunFile) -> None:
    """Replace the run file of a folder, mode 600, in one step."""
    target, beside = home / RUN_FILE, home / f".{RUN_FILE}.{os.getpid()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(run), indent=2))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)


def read_run_file(home: Path) -> RunFile:
    """The run file of a folder. Raises `UnreachableError` when there is none or it cannot be read."""
    path = home / RUN_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunFile)
    except FileNotFoundError:
        raise UnreachableError(f"no platform in {home} (no {RUN_FILE}); start one with: zjops up") from None
    except (OSError, msgspec.MsgspecError) as exc:
        raise UnreachableError(f"{path} cannot be read ({exc}); start again with: zjops up") from exc
