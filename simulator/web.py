"""Serving HTTP on a loopback socket, as a service among others, and the health pages of a role without an API."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.accepting import Acceptor
from simulator.gateway.protocol import LimitedProtocol, Refusal
from simulator.policy.backlog import Behind
from simulator.service import background

if TYPE_CHECKING:
    # The supervisor serves pages too and needs no metrics library for it.
    from simulator.telemetry import Telemetry

Readiness = Callable[[], Awaitable[dict[str, bool]]]
BACKLOG = 4096
KEEP_ALIVE_S = 75
STOP_WITHIN_S = 5
WS_BYTES = 65_536


class _Quiet(uvicorn.Server):
    """Signals belong to the process, not to one of its servers."""

    def __init__(self, config: uvicorn.Config, refusal: Refusal | None) -> None:
        super().__init__(config)
        self._refusal = refusal

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """What the server does, but connections are taken by an acceptor of ours."""
        await super().startup(sockets=[])
        protocol = partial(
            LimitedProtocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state,
            refusal=self._refusal,
        )  # fmt: skip
        self.servers = [Acceptor(listener, protocol) for listener in sockets or []]  # type: ignore[misc]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What the server does, once whoever was taken last is among those that it tells of the end."""
        for acceptor in self.servers:
            acceptor.close()
            await acceptor.wait_closed()
        await super().shutdown(sockets)


class WebServer:
    """An ASGI application on a listening socket."""

    def __init__(
        self, app: ASGIApp, listener: socket.socket, *, websockets: bool = False, refusal: Refusal | None = None
    ) -> None:
        """`refusal` may end requests before the application hears of them (`LimitedProtocol`)."""
        config = uvicorn.Config(
            app, interface="asgi3", http=LimitedProtocol, ws="websockets-sansio" if websockets else "none",
            ws_max_size=WS_BYTES,
            ws_per_message_deflate=False, lifespan="off", log_config=None, access_log=False,
            server_header=False, date_header=True, backlog=BACKLOG, timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_WITHIN_S, proxy_headers=False,
        )  # fmt: skip
        self._server = _Quiet(config, refusal)
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._task is None:
            self._task = background(self._server.serve([self._listener]), "http server")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._server.should_exit = True
            await task


def health_app(telemetry: Telemetry, readiness: Readiness, behind: Callable[[], Behind]) -> ASGIApp:
    """`/livez`, `/readyz` and `/metrics` of a process that hosts no API; `/behind` for its supervisor."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = await answer(scope["path"])
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(path: str) -> tuple[int, bytes, bytes]:
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", telemetry.metrics_text()
        if path == "/readyz":
            parts = await readiness()
            ready = all(parts.values())
            return 200 if ready else 503, b"application/json", msgspec.json.encode({"ready": ready, "parts": parts})
        if path == "/behind":
            return 200, b"application/json", msgspec.json.encode(behind()._asdict())
        if path == "/livez":
            return 200, b"application/json", b'{"status":"ok"}'
        return 404, b"application/json", b'{"status":"not found"}'

    return app
