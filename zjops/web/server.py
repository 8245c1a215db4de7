"""Serving a terminal program on the loopback interface, until somebody has had enough."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn

from zjops.domain.errors import UsageError
from zjops.domain.ids import Ids
from zjops.web.door import Door
from zjops.web.pages import application
from zjops.web.sessions import MOST, Sessions

ADDRESS = "127.0.0.1"
PORTS_TRIED = 50
MESSAGE_BYTES = 1_000_000
"""What may be pasted at once."""
STOP_WITHIN_S = 8


class _Quiet(uvicorn.Server):
    """Signals belong to the program, not to its server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _known(record: logging.LogRecord) -> bool:
    """Whether to log it: a socket that is refused with an answer counts, to uvicorn, as one that got none."""
    return record.getMessage() != "ASGI callable returned without completing handshake."


def listen(port: int) -> socket.socket:
    """A socket on the port, or on the next one that is free. Raises `UsageError`."""
    for tried in range(port, min(port + PORTS_TRIED, 65_536)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ADDRESS, tried))
            listener.listen()
        except OSError:
            listener.close()
            continue
        return listener
    raise UsageError(f"no port of {ADDRESS} is free from {port} on; name another with --port")


async def serve(argv: Sequence[str], port: int, opened: Callable[[str], None], ids: Ids, *, most: int = MOST) -> None:
    """Serve until cancelled; `opened` gets the address with its token. `argv` is run once for every page."""
    with listen(port) as listener:
        door = Door(listener.getsockname()[1], ids)
        server = _Quiet(
            uvicorn.Config(
                application(door, Sessions(argv, most)), ws="websockets-sansio", ws_max_size=MESSAGE_BYTES,
                lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False,
                loop="asyncio", timeout_graceful_shutdown=STOP_WITHIN_S,
            )
        )  # fmt: skip
        logging.getLogger("uvicorn.error").addFilter(_known)
        opened(door.url)
        await _until_cancelled(server, listener)


async def _until_cancelled(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run it; when cancelled, let it close its sockets, whose programs end with them."""
    running = asyncio.create_task(server.serve([listener]))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        server.should_exit = True
        await running
        raise
