"""Writing the head of an answer in one piece.

The server checks every header of every answer by two regular expressions; with the 25 headers that an answer to a
tenant carries, that costs more than all of the gateway's own checks. Here the whole head is checked once: a header
that held a line break would add a line, and a head has as many lines as it has headers.
"""

from __future__ import annotations

import http
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_REASONS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}


class QuickCycle(RequestResponseCycle):
    """One request and its answer; what is out of the ordinary is left to the server's own way.

    The head waits for the first part of the body, so that an answer is one write.
    """

    _head = b""

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "http.response.start" and not self.response_started and self._is_ordinary(message):
            self._start(cast(dict[str, Any], message))
            return
        if self._head and message["type"] == "http.response.body" and self.scope["method"] != "HEAD":
            body, self._head, head = message.get("body", b""), b"", self._head
            if len(body) > self.expected_content_length:
                raise RuntimeError("the body is longer than its Content-Length")
            self.expected_content_length -= len(body)
            self.transport.write(head + body)
            message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
        elif self._head:
            self.transport.write(self._head)
            self._head = b""
        await super().send(message)

    def _is_ordinary(self, message: Any) -> bool:
        names = dict(message.get("headers", ()))
        return (
            b"content-length" in names and b"transfer-encoding" not in names and b"connection" not in names
            and self.keep_alive and not self.disconnected and self.flow.write_paused is False
            and not self.waiting_for_100_continue and message["status"] in _REASONS
        )  # fmt: skip

    def _start(self, message: dict[str, Any]) -> None:
        headers = [*self.default_headers, *message["headers"]]
        head = b"\r\n".join([b"%b: %b" % pair for pair in headers])
        if head.count(b"\n") != len(headers) - 1 or head.count(b"\r") != len(headers) - 1 or b"\0" in head:
            raise RuntimeError("a header holds a line break")
        self.response_started = True
        self.expected_content_length = int(dict(message["headers"])[b"content-length"])
        self.chunked_encoding = False
        self._head = b"%b%b\r\n\r\n" % (_REASONS[message["status"]], head)
