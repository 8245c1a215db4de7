"""What a child process of the supervisor is."""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class ChildSpec:
    """A program with its roles, how it is known to be ready, and the socket that it inherits.

    `keeps_log` says that it keeps its own log to a size.
    """

    name: str
    roles: tuple[str, ...]
    argv: tuple[str, ...]
    ready: Probe
    port: int | None = None
    listener: socket.socket | None = None
    stop_within_s: float = 15.0
    keeps_log: bool = False


class Notice(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One JSON line of the supervisor on its standard output."""

    event: str
    name: str | None = None
    message: str | None = None
    pid: int | None = None
    restarts: int | None = None
    exit: str | None = None
    seconds: float | None = None
    exit_code: int | None = None
    share: float | None = None
    jobs: int | None = None


Tell = Callable[[Notice], None]


def role_argv(name: str, roles: tuple[str, ...], home: Path, parent: int, *extra: str) -> tuple[str, ...]:
    """The command line of a role process. Secrets are in the run file, never here."""
    return (
        sys.executable, "-m", "simulator", "role", name, "--roles", ",".join(roles), "--home", str(home),
        "--parent", str(parent), *extra,
    )  # fmt: skip
