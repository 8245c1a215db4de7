"""One HTTP request on loopback, in so few lines that the supervisor needs no client library for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from simulator.supervisor.ports import HOST

BODY_MOST = 1_000_000


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Reply(NamedTuple):
    """An answer; status 0 is none in time, or none at all."""

    status: int
    body: bytes = b""


Ask = Callable[[Asked, float], Awaitable[Reply]]
"""Sends a request and waits for its answer for so many seconds."""


def asking(port: int) -> Ask:
    """Requests to a server on this machine, each on a connection of its own."""

    async def ask(asked: Asked, within_s: float) -> Reply:
        try:
            async with asyncio.timeout(within_s):
                return await _exchange(port, asked)
        except (OSError, TimeoutError, ValueError, IndexError):
            return Reply(0)

    return ask


async def _exchange(port: int, asked: Asked) -> Reply:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        own = {"Host": f"{HOST}:{port}", "Connection": "close", "Content-Length": str(len(asked.body))}
        lines = [f"{asked.method} {asked.path} HTTP/1.1", *(f"{k}: {v}" for k, v in {**own, **asked.headers}.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode() + asked.body)
        head = await reader.readuntil(b"\r\n\r\n")
        return Reply(int(head.split(b" ", 2)[1]), await reader.read(BODY_MOST))
    except asyncio.IncompleteReadError as exc:
        raise ConnectionError("the server hung up") from exc
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
