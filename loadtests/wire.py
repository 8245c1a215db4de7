"""A kept-alive HTTP/1.1 connection for requests that are bytes already.

Locust's own client costs about 150 microseconds of the processor a request, which at 5,000 a second is three quarters
of a core that the platform beside it needs; this costs a fifth of that. It does what the schedule asks for and no
more: one request at a time, no redirects, no cookies.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gevent import socket, ssl

HEAD_MOST = 65_536
PIECE = 65_536
END = b"\r\n\r\n"
LENGTH, CHUNKED, CLOSE = b"\r\ncontent-length:", b"\r\ntransfer-encoding: chunked", b"\r\nconnection: close"


class TimedOut(Exception):
    """No whole answer came in time."""


class Broken(Exception):
    """The connection failed before the answer was whole; `answered` when some of it had come."""

    def __init__(self, why: str, answered: bool) -> None:
        super().__init__(why)
        self.answered = answered


class Answer(NamedTuple):
    """An answer: its status, its head in lower case, its body."""

    status: int
    head: bytes
    body: bytes


class Target(NamedTuple):
    """Where the API is."""

    host: str
    port: int
    secure: bool
    base: str

    @classmethod
    def of(cls, url: str) -> Target:
        """The target of an address."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if secure else 80), secure, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Wire:
    """One connection, opened beforehand or when it is first needed.

    `now` is a monotonic clock in seconds; so are deadlines.
    """

    def __init__(self, target: Target, now: Callable[[], float]) -> None:
        self._target, self._now = target, now
        self._socket: Any = None

    def open(self, within_s: float) -> None:
        """Open it beforehand. One that cannot be opened is tried again when it is needed, and counted there."""
        with contextlib.suppress(OSError, TimedOut):
            if self._socket is None:
                self._socket = self._open(self._now() + within_s)

    def close(self) -> None:
        """Let go of the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def exchange(self, request: bytes, deadline: float) -> Answer:
        """Send a request and read its answer. Raises `TimedOut`, `Broken`.

        A kept connection that the server has closed meanwhile is opened anew, once, as every client does; the requests
        that go out here are safe to repeat.
        """
        fresh = self._socket is None
        try:
            return self._once(request, deadline)
        except Broken as exc:
            if fresh or exc.answered:
                raise
        return self._once(request, deadline)

    def _once(self, request: bytes, deadline: float) -> Answer:
        try:
            self._send(request, deadline)
            return self._answer(deadline)
        except BaseException:
            # Whatever comes later on this connection would be taken for the answer to another request.
            self.close()
            raise

    def _send(self, request: bytes, deadline: float) -> None:
        try:
            if self._socket is None:
                self._socket = self._open(deadline)
            self._socket.settimeout(self._left(deadline))
            # As a rule it fits, and `sendall` asks for the size of the buffer each time.
            sent = self._socket.send(request)
            if sent < len(request):
                self._socket.sendall(request[sent:])
        except TimeoutError as exc:
            raise TimedOut from exc
        except OSError as exc:
            raise Broken(exc.strerror or type(exc).__name__, False) from exc

    def _open(self, deadline: float) -> Any:
        made = socket.create_connection((self._target.host, self._target.port), self._left(deadline))
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _tls().wrap_socket(made, server_hostname=self._target.host) if self._target.secure else made
        except BaseException:
            made.close()
            raise

    def _left(self, deadline: float) -> float:
        left = deadline - self._now()
        if left <= 0:
            raise TimedOut
        return left

    def _piece(self, deadline: float, answered: bool) -> bytes:
        try:
            self._socket.settimeout(self._left(deadline))
            piece: bytes = self._socket.recv(PIECE)
        except TimeoutError as exc:
            raise TimedOut from exc
        except OSError as exc:
            raise Broken(exc.strerror or type(exc).__name__, answered) from exc
        if not piece:
            raise Broken("the connection was closed", answered)
        return piece

    def _head(self, deadline: float) -> tuple[int, bytes, bytes]:
        """Status, head and what came after it."""
        data = self._piece(deadline, False)
        while (end := data.find(END)) < 0:
            if len(data) > HEAD_MOST:
                raise Broken("the answer's head has no end", True)
            data += self._piece(deadline, True)
        head = data[:end].lower()
        if not head.startswith(b"http/1.") or not head[9:12].isdigit():
            raise Broken("this is no HTTP", True)
        return int(head[9:12]), head, data[end + 4 :]

    def _answer(self, deadline: float) -> Answer:
        status, head, body = self._head(deadline)
        length = header(head, LENGTH)
        if length is not None:
            if not length.isdigit():
                raise Broken("the answer's length is no number", True)
            missing = int(length) - len(body)
            while missing > 0:
                piece = self._piece(deadline, True)
                body, missing = body + piece, missing - len(piece)
        elif CHUNKED in head:
            body = b"".join(self._chunks(body, lambda: deadline))
        elif status not in (204, 304):
            raise Broken("the answer has no length", True)
        if CLOSE in head:
            self.close()
        return Answer(status, head, body)

    def stream(self, request: bytes, deadline: float, quiet_s: float) -> tuple[Answer, Iterator[bytes]]:
        """Send a request whose answer goes on: its head, and its parts as they come, each within `quiet_s`.

        Raises `TimedOut`, `Broken`; so do the parts. The connection ends with them.
        """
        self.close()
        self._send(request, deadline)
        status, head, rest = self._head(deadline)
        if CHUNKED in head:
            return Answer(status, head, b""), self._chunks(rest, lambda: self._now() + quiet_s)
        return Answer(status, head, rest), iter([rest] if rest else [])

    def _chunks(self, data: bytes, deadline: Callable[[], float]) -> Iterator[bytes]:
        """The parts of an answer without a length (RFC 9112, section 7.1)."""
        while True:
            while (end := data.find(b"\r\n")) < 0:
                data += self._piece(deadline(), True)
            try:
                size = int(data[:end].split(b";")[0], 16)
            except ValueError as exc:
                raise Broken("a part of the answer has no size", True) from exc
            data = data[end + 2 :]
            while len(data) < size + 2:
                data += self._piece(deadline(), True)
            if size == 0:
                return
            yield data[:size]
            data = data[size + 2 :]


@functools.cache
def _tls() -> Any:
    """Read once: the authorities' certificates are many."""
    return ssl.create_default_context()


def header(head: bytes, name: bytes) -> bytes | None:
    """A header of a head in lower case; `name` is given with the line's beginning and its colon."""
    at = head.find(name)
    if at < 0:
        return None
    end = head.find(b"\r\n", at + 2)
    return head[at + len(name) : end if end >= 0 else len(head)].strip()
