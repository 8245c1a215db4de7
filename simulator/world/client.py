"""Callers of the interface in the same process: no sockets and no tokens, everything behind them as it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from simulator.identity.verifier import Principal

KNOWN = "zjops.ticket"
"""The place in the scope where the gateway finds who was identified before, as it does for a WebSocket's ticket."""
NEVER = 2**40


class Reply(NamedTuple):
    """The status of an answer and its body."""

    status: int
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem, else the status as text."""
        try:
            return msgspec.json.decode(self.body, type=_Coded).code or str(self.status)
        except msgspec.MsgspecError:
            return str(self.status)


class _Coded(msgspec.Struct):
    code: str = ""


class Client:
    """One client of a tenant. A month of its tokens would be nothing but signatures, so it is known by its name."""

    def __init__(self, app: Any, tenant: str, scopes: tuple[str, ...], address: str) -> None:
        self._app, self._address = app, address
        self._principal = Principal(f"{tenant}-client", tenant, frozenset(scopes), NEVER)

    async def call(
        self, method: str, path: str, body: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Reply:
        """One request, answered whole."""
        given = [(b"host", b"world"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
            "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
            "headers": [*given, *headers], "client": (self._address, 40_000), "server": ("world", 80),
            KNOWN: self._principal,
        }  # fmt: skip
        status, parts, asked = 0, list[bytes](), False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return Reply(status, b"".join(parts))
