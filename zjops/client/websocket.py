"""The WebSocket behind one seam: what a stream needs of a connection, and the library that provides it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import httpx2

from zjops.client.http import Outage, problem_of
from zjops.domain.errors import UnreachableError

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

OPEN_WITHIN_S, CLOSE_WITHIN_S = 10.0, 2.0
PING_EVERY_S, PONG_WITHIN_S = 15.0, 25.0
MESSAGE_BYTES = 1_048_576


class Refused(UnreachableError):
    """There are no streams here: the server, or a proxy before it, does not know them."""


class Closed(Outage):
    """The connection has ended, with the code that the other side gave, or 1006 for none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the stream was closed ({code}{' ' + reason if reason else ''})")
        self.code = code


class Socket(Protocol):
    """An open connection. Both methods raise `Closed`."""

    def send(self, text: str) -> None:
        """Send one message."""
        ...

    def receive(self, within_s: float) -> bytes | None:
        """The next message, None when none came in time."""
        ...


@contextlib.contextmanager
def dial(url: str, token: str) -> Iterator[Socket]:
    """A connection to a WebSocket. Raises `Problem` for an error answer, `Refused`, and `Outage` for no answer.

    Silence is found by pings: the server is quiet while nothing happens.
    """
    from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
    from websockets.sync.client import connect

    try:
        opened = connect(
            url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None, compression=None,
            open_timeout=OPEN_WITHIN_S, close_timeout=CLOSE_WITHIN_S, ping_interval=PING_EVERY_S,
            ping_timeout=PONG_WITHIN_S, max_size=MESSAGE_BYTES,
        )  # fmt: skip
    except InvalidStatus as exc:
        answer = exc.response
        raise problem_of(
            httpx2.Response(answer.status_code, headers=list(answer.headers.raw_items()), content=bytes(answer.body))
        ) from exc
    except (OSError, EOFError, InvalidMessage) as exc:
        raise Outage(f"{url} does not answer ({exc or type(exc).__name__}); is it up? zjops status") from exc
    except InvalidHandshake as exc:
        raise Refused(f"{url} is no WebSocket ({exc})") from exc
    with opened:
        yield _Connection(opened)


class _Connection:
    """The library's connection in the words of `Socket`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def send(self, text: str) -> None:
        with _closing():
            self._connection.send(text)

    def receive(self, within_s: float) -> bytes | None:
        with _closing():
            try:
                return self._connection.recv(timeout=within_s, decode=False)
            except TimeoutError:
                return None


@contextlib.contextmanager
def _closing() -> Iterator[None]:
    from websockets.exceptions import ConnectionClosed

    try:
        yield
    except ConnectionClosed as exc:
        code, reason = (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd is not None else (1006, "the connection was lost")
        raise Closed(code, reason) from exc
