"""A TCP proxy that can be told to be slow, to hold bytes back, to reset and to cut: a bad network before a part."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct

from zjops.domain.clock import Clock

CHUNK = 65_536
NO_LINGER = struct.pack("ii", 1, 0)
"""Closed with this, a connection ends by a reset."""
Params = dict[str, float]


class Conditions:
    """What holds on a link now, by the name of its fault; `chances` are those of faults that have their own."""

    def __init__(self, seed: int | None = None) -> None:
        self.faults: dict[str, Params] = {}
        self.chances: dict[str, random.Random] = {}
        self._random = random.Random(seed)  # noqa: S311 - chance, no secret

    def wait_s(self) -> float:
        """How long the next chunk is held back."""
        waits = 0.0
        if (delay := self.faults.get("link.delay")) is not None:
            waits += max(0.0, delay["ms"] + self._chance("link.delay").uniform(-1, 1) * delay["jitter_ms"])
        if (hold := self.faults.get("link.hold")) is not None and self._chance("link.hold").random() < hold["share"]:
            waits += hold["ms"]
        return waits / 1000

    def _chance(self, fault: str) -> random.Random:
        return self.chances.get(fault, self._random)

    @property
    def cut(self) -> bool:
        """Whether nothing passes."""
        return "link.cut" in self.faults


class TcpProxy:
    """Carries bytes between its clients and one port of this machine, in order, under its conditions.

    A chunk that is held back holds those behind it back too, as TCP does; what comes later than it is not slower for
    having waited its turn, so that a delay is a delay and no limit of speed.
    """

    def __init__(self, listener: socket.socket, target_port: int, clock: Clock, seed: int | None = None) -> None:
        self._listener, self._target, self._clock = listener, target_port, clock
        self.conditions = Conditions(seed)
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    async def start(self) -> None:
        """Listen; safe twice."""
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, sock=self._listener, limit=CHUNK)

    async def stop(self) -> None:
        """Close everything; safe twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self.reset()

    def reset(self) -> None:
        """Reset every connection."""
        for writer in list(self._links):
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        try:
            if self.conditions.cut:
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._target, limit=CHUNK)
        except OSError:
            return
        else:
            self._links.add(back)
            ways = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.ALL_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                self._forget(back)
        finally:
            self._forget(writer)

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._links.discard(writer)
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, to its end: a reader that stamps chunks with when they are due, and a writer that waits."""
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
        sender = asyncio.create_task(self._send(due, writer))
        try:
            while data := await reader.read(CHUNK):
                if self.conditions.cut:
                    break
                await due.put((self._clock.monotonic() + self.conditions.wait_s(), data))
        except OSError:
            pass
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await due.put((0.0, b""))
                await sender
            sender.cancel()

    async def _send(self, due: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            at, data = await due.get()
            if not data:
                with contextlib.suppress(OSError):
                    if writer.can_write_eof():
                        writer.write_eof()
                return
            wait_s = at - self._clock.monotonic()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                await _drop(due)
                return


async def _drop(due: asyncio.Queue[tuple[float, bytes]]) -> None:
    """Take what nobody wants any more, so that whoever puts it there does not wait for ever."""
    while (await due.get())[1]:
        pass
