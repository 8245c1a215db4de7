"""One request and its answer: counts the body, adds the headers that every answer carries."""

from __future__ import annotations

import functools
from collections.abc import Callable

from starlette.types import Message, Receive, Scope, Send

from simulator.gateway.context import RequestContext
from zjops.domain.errors import Problem

SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
API_ONLY = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
FIXED = dict(SECURITY + API_ONLY)
WHOLE = "zjops.whole"
"""The extension of ASGI by which a whole answer goes to a server that offers it (`QuickCycle`)."""
FIXED_LINES = b"".join(b"%b: %b\r\n" % pair for pair in FIXED.items())
STARTS = ("http.response.start", "websocket.http.response.start")


@functools.lru_cache(maxsize=256)
def _wire_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


class Exchange:
    """Between the server and the application, for one request.

    `answering_since` is when an answer in parts began, by the given clock; 0 for one that goes out whole.
    """

    __slots__ = (
        "_left", "_limit", "_monotonic", "_receive", "_scope", "_send", "answering_since", "context", "started",
        "status",
    )  # fmt: skip

    def __init__(
        self, context: RequestContext, receive: Receive, send: Send, scope: Scope, monotonic: Callable[[], float]
    ) -> None:
        self.context, self._receive, self._send, self._scope = context, receive, send, scope
        self._monotonic, self.answering_since = monotonic, 0.0
        self._left: int | None = None
        self._limit = 0
        self.started, self.status = False, 0

    def limit_body(self, limit: int) -> None:
        """From here on the body may hold so many bytes."""
        self._limit = self._left = limit

    async def receive(self) -> Message:
        message = await self._receive()
        if self._left is not None and message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise Problem("payload-too-large", f"The body may hold {self._limit} bytes.")
        return message

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer, its headers none of those that every answer carries: in one step where the server can."""
        self.started, self.status = True, status
        if WHOLE not in self._scope.get("extensions", ()):
            await self._send({"type": STARTS[0], "status": status, "headers": self._headers(headers)})
            await self._send({"type": "http.response.body", "body": body})
            return
        context = self.context
        told = "\r\n".join(map(": ".join, context.headers.items()))
        traced = f"traceparent: {context.traceparent}\r\nx-request-id: {context.request_id}\r\n"
        text = f"{told}\r\n{traced}" if told else traced
        lines = b"\r\n".join(map(b": ".join, headers)) + b"\r\n" if headers else b""
        await self._send({
            "type": WHOLE, "status": status, "head": FIXED_LINES + text.encode("latin-1") + lines,
            "lines": len(FIXED) + len(context.headers) + 2 + len(headers), "body": body,
        })  # fmt: skip

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in STARTS:
            self.started, self.status, self.answering_since = True, message["status"], self._monotonic()
            message["headers"] = self._headers(message.get("headers", []))
        elif kind == "websocket.accept":
            self.started, self.status, self.answering_since = True, 101, self._monotonic()
        elif kind == "websocket.close" and not self.started:
            self.started, self.status = True, 403
        await self._send(message)

    def _headers(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        context = self.context
        # Later ones win: what the application says comes last.
        found = dict(FIXED)
        for name, value in context.headers.items():
            found[_wire_name(name)] = value.encode("latin-1")
        found[b"traceparent"] = context.traceparent.encode()
        found[b"x-request-id"] = context.request_id.encode()
        found.update(given)
        return list(found.items())
