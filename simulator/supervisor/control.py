"""The control API: what runs, faults, and the end. Loopback only, with the run's secret."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.supervisor.children import Child
from simulator.supervisor.faults import FaultRequest, Faults
from zjops.domain.errors import Problem

BODY_MOST = 65_536
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Control:
    """A handful of routes as plain ASGI: the supervisor stays small enough to forget about."""

    def __init__(
        self, children: dict[str, Child], faults: Faults, token: str, state: Callable[[], str],
        down: Callable[[], None], metrics: Callable[[], bytes],
    ) -> None:  # fmt: skip
        self._children, self._faults, self._token = children, faults, token
        self._state, self._down, self._metrics = state, down, metrics

    @property
    def app(self) -> ASGIApp:
        """The application."""
        return self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            status, body = await self._answer(scope, receive)
        except Problem as problem:
            status, body = problem.status, problem.document(scope["path"], "0" * 32)
        text = isinstance(body, bytes)
        data = body if text else b"" if body is None else msgspec.json.encode(body)
        kind = TEXT if text else b"application/problem+json" if status >= 400 else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any]:
        method, path = scope["method"], scope["path"]
        if (method, path) == ("GET", "/readyz"):
            ready = self._state() == "ready"
            return (200 if ready else 503), {"ready": ready}
        if (method, path) == ("GET", "/metrics"):
            return 200, self._metrics()
        self._authorise(scope)
        if (method, path) == ("GET", "/status"):
            return 200, await self.status()
        if (method, path) == ("POST", "/faults"):
            return 201, {"id": await self._faults.inject(_parse(await _body(receive)))}
        if (method, path) == ("GET", "/faults"):
            return 200, {"kinds": self._faults.catalogue(), "active": self._faults.active()}
        if (method, path) == ("DELETE", "/faults"):
            return 200, {"healed": await self._faults.heal_all()}
        if method == "DELETE" and path.startswith("/faults/"):
            if not await self._faults.heal(path.removeprefix("/faults/")):
                raise Problem("not-found", "No such fault is active; its lease may have ended.")
            return 200, {"healed": True}
        if (method, path) == ("POST", "/down"):
            self._down()
            return 202, {"state": "stopping"}
        raise Problem("not-found", f"There is no {method} {path} here.")

    def _authorise(self, scope: Scope) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise Problem("unauthorized", "Send the run's control token: Authorization: Bearer …")

    async def status(self) -> dict[str, Any]:
        """Every process, as it answers now, and every fault."""
        await asyncio.gather(*(child.look() for child in self._children.values()))
        processes = [
            {
                "name": child.spec.name, "pid": child.pid, "roles": list(child.spec.roles), "state": child.state,
                "restarts": child.restarts, "ready": child.ready, "port": child.spec.port,
            }
            for child in self._children.values()
        ]  # fmt: skip
        return {"state": self._state(), "processes": processes, "faults": self._faults.active()}


async def _body(receive: Receive) -> bytes:
    data, more = b"", True
    while more and len(data) <= BODY_MOST:
        message = await receive()
        data += message.get("body", b"")
        more = message.get("more_body", False)
    if len(data) > BODY_MOST:
        raise Problem("payload-too-large", f"The body may hold {BODY_MOST} bytes.")
    return data


def _parse(data: bytes) -> FaultRequest:
    try:
        return msgspec.json.decode(data, type=FaultRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise Problem("validation-failed", str(exc)) from exc
