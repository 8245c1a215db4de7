"""Which contract this home's chain carries: written once after the deployment, read by every role."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from simulator.chain.port import ChainIdentity
from zjops.domain.clock import Clock
from zjops.domain.errors import ChainUnavailable

CONTRACT_FILE = "contract.json"
LOCK_FILE = "contract.lock"
POLL_S = 0.05


def contract_path(home: Path) -> Path:
    """Where the deployment of a home is written down."""
    return home / "chain" / CONTRACT_FILE


def load_deployment(home: Path) -> ChainIdentity | None:
    """The deployment of a home, None before there is one. Raises `ChainUnavailable` for an unreadable file."""
    try:
        return msgspec.json.decode(contract_path(home).read_bytes(), type=ChainIdentity)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise ChainUnavailable(f"{contract_path(home)} cannot be read ({exc}); start in a new folder") from exc


async def ensure_deployment(home: Path, deploy: Callable[[], Awaitable[ChainIdentity]], clock: Clock) -> ChainIdentity:
    """The deployment of a home, made when there is none: by one process, while the others wait for it.

    Raises `ChainUnavailable`.
    """
    async with _alone(home, clock):
        found = load_deployment(home)
        if found is None:
            found = await deploy()
            _put(contract_path(home), msgspec.json.encode(found))
        return found


@contextlib.asynccontextmanager
async def _alone(home: Path, clock: Clock) -> AsyncIterator[None]:
    """Keep other processes of the home out; one that is killed lets the next one in."""
    path = contract_path(home).with_name(LOCK_FILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await clock.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def _put(target: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or not at all, after a loss of power too."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
