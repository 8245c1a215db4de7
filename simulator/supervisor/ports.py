"""Loopback ports: the preferred one, or the next that is free, kept by a listening socket."""

from __future__ import annotations

import socket

from zjops.domain.errors import UsageError

HOST = "127.0.0.1"
BACKLOG = 4096
TRIES = 50


def listen(preferred: int, *, exactly: bool = False) -> socket.socket:
    """A listening socket on the preferred port, or on one shortly above it unless exactly that one was asked for.

    The supervisor keeps it and hands it down, so the port is never lost between two lives of a process. Raises
    `UsageError`.
    """
    for port in [preferred] if exactly else [*range(preferred, preferred + TRIES), 0]:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((HOST, port))
            found.listen(BACKLOG)
        except (OSError, OverflowError) as exc:
            found.close()
            error: Exception = exc
            continue
        found.setblocking(False)
        return found
    raise UsageError(f"port {preferred} cannot be used ({error}); choose another or leave the option out")


def free(preferred: int) -> int:
    """A port for a program that must open it by itself: free now, not kept."""
    with listen(preferred) as found:
        return port_of(found)


def port_of(listener: socket.socket) -> int:
    """The port a socket listens on."""
    return int(listener.getsockname()[1])
