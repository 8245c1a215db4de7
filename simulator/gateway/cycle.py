"""Writing an answer in one piece.

The server checks every header of every answer by two regular expressions; with the 25 headers that an answer to a
tenant carries, that costs more than all of the gateway's own checks. Here the whole head is checked once: a header
that held a line break would add a line, and a head has as many lines as it has headers.
"""

from __future__ import annotations

import http
from email.utils import formatdate
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from simulator.gateway.exchange import WHOLE
from zjops.domain.clock import SystemClock

_CLOCK = SystemClock()
Pairs = list[tuple[bytes, bytes]]
_defaults: tuple[Pairs | None, int, bytes] = (None, 0, b"")
STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}


def default_lines(headers: Pairs) -> bytes:
    """The server's own headers as lines, with the date of now.

    The server makes its date anew once a second, so that a process that was stopped and goes on told that of before,
    and whoever sets a clock by it went back in time.
    """
    global _defaults
    second = _CLOCK.now_ms() // 1000
    if headers is not _defaults[0] or second != _defaults[1]:
        date = formatdate(second, usegmt=True).encode()
        lines = b"".join([b"%b: %b\r\n" % (name, date if name == b"date" else value) for name, value in headers])
        _defaults = headers, second, lines
    return _defaults[2]


class QuickCycle(RequestResponseCycle):
    """One request and its answer; what is out of the ordinary is left to the server's own way.

    The head waits for the first part of the body, so that an answer is one write.
    """

    _head = b""

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == WHOLE:
            await self._send_whole(cast(Any, message))
            return
        if self._head:
            if self._whole(cast(Any, message)):
                return
            self.transport.write(self._head)
            self._head = b""
        elif message["type"] == "http.response.start" and not self.response_started and self._start(cast(Any, message)):
            return
        await super().send(message)

    async def receive(self) -> ASGIReceiveEvent:
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return await super().receive()
        if self.flow.read_paused or not self.message_event.is_set():
            return await super().receive()
        # As a rule all of the body is there, and there is nothing to wait for.
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send_whole(self, message: dict[str, Any]) -> None:
        """An answer that comes with the lines of its head, each ended, and says how many there should be."""
        head = message["head"]
        if not self._ordinary(message):
            pairs = [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[:-1]]
            start = {"type": "http.response.start", "status": message["status"], "headers": pairs}
            await super().send(cast(Any, start))
            await super().send({"type": "http.response.body", "body": message["body"], "more_body": False})
            return
        _check_lines(head, message["lines"])
        self.response_started, self.chunked_encoding = True, False
        self.transport.write(
            STATUS_LINES[message["status"]] + default_lines(self.default_headers) + head + b"\r\n" + message["body"]
        )
        self._end()

    def _ordinary(self, message: dict[str, Any]) -> bool:
        return (
            self.keep_alive and not self.disconnected and not self.flow.write_paused
            and not self.waiting_for_100_continue and not self.response_started and message["status"] in STATUS_LINES
            and self.scope["method"] != "HEAD"
        )  # fmt: skip

    def _start(self, message: dict[str, Any]) -> bool:
        """Keep the head of an ordinary answer until its body comes; False for any other."""
        headers = message.get("headers", ())
        names = dict(headers)
        if (
            b"content-length" not in names or b"transfer-encoding" in names or b"connection" in names
            or not self._ordinary(message)
        ):  # fmt: skip
            return False
        head = b"".join([b"%b: %b\r\n" % pair for pair in headers])
        _check_lines(head, len(names))
        self.response_started, self.chunked_encoding = True, False
        self.expected_content_length = int(names[b"content-length"])
        self._head = STATUS_LINES[message["status"]] + default_lines(self.default_headers) + head + b"\r\n"
        return True

    def _whole(self, message: dict[str, Any]) -> bool:
        """Write head and body at once, if this is the whole body, and end the answer as the server would."""
        body = message.get("body", b"")
        if (
            message["type"] != "http.response.body" or message.get("more_body", False) or self.disconnected
            or len(body) != self.expected_content_length
        ):  # fmt: skip
            return False
        self.transport.write(self._head + body)
        self._head, self.expected_content_length = b"", 0
        self._end()
        return True

    def _end(self) -> None:
        """The end of an answer, as the server has it."""
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _check_lines(head: bytes, count: int) -> None:
    """A header that held a line break would add a line. Raises `RuntimeError`."""
    if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
        raise RuntimeError("a header holds a line break")
