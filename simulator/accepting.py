"""Taking new connections from a listening socket, as many as wait.

The event loop's own servers take one connection a turn of the loop (libuv) and give each to a protocol. Under load a
turn takes tens of milliseconds, so that clients of a burst, who all connect at once, waited for seconds before a byte
of theirs was read: neither answered nor refused.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

AT_ONCE = 64
"""How many are taken before others have their turn."""
PAUSE_S = 0.5
"""How long none is taken when the process has no more file descriptors or memory for one."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = logging.getLogger(__name__)


class Acceptor:
    """Gives every connection that comes to a listening socket a protocol, until it is closed.

    It has what `uvicorn.Server` asks of a server.
    """

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener, self._protocol = listener, protocol
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more; those that were taken stay. Safe twice."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listener.fileno())
            if self._pause is not None:
                self._pause.cancel()

    async def wait_closed(self) -> None:
        """Until those that were taken last have their protocols."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    self._rest(exc)
                    return
                # It went away before it was taken.
                continue
            connection.setblocking(False)
            task = self._loop.create_task(self._serve(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except BaseException as exc:
            connection.close()
            if not isinstance(exc, OSError):
                raise

    def _rest(self, error: OSError) -> None:
        """Whoever waits goes on waiting: the listener would report them at once, again and again."""
        _log.error("no more connections can be taken for %g s: %s", PAUSE_S, error.strerror)
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(PAUSE_S, self._listen)
