"""One request for messages of a durable, and the messages that come of it."""

from __future__ import annotations

import asyncio

import msgspec
from nats.aio.msg import Msg

from simulator.broker.connection import Connection, translating
from zjops.domain.errors import BrokerUnavailable

_NOTHING = frozenset(("404", "408"))
"""Statuses that end a request in order: no messages (any more), time is up."""
_HEARTBEAT = "100"


def is_delivery(message: Msg) -> bool:
    """Whether a message comes from a stream; a status of the server has nothing to acknowledge."""
    return message.reply.startswith("$JS.ACK.")


class Pull:
    """Collects until the batch is full or the server says that there is no more."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.messages: list[Msg] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def receive(self, message: Msg) -> None:
        """Take a delivery or a status of the server."""
        if is_delivery(message):
            self.messages.append(message)
            if len(self.messages) >= self.batch:
                self._end(None)
            return
        status = (message.headers or {}).get("Status", "")
        if status in _NOTHING or self.messages:
            self._end(None)
        elif status != _HEARTBEAT:
            description = (message.headers or {}).get("Description", "no such durable")
            self._end(BrokerUnavailable(f"the broker refuses: {status} {description}"))

    def _end(self, error: BrokerUnavailable | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class NatsMessage:
    """A delivery; an acknowledgement is sent and not waited for, so a lost one means another delivery."""

    __slots__ = ("_connection", "_reply", "data", "delivered", "headers", "sequence", "subject", "timestamp_ms")

    def __init__(self, connection: Connection, message: Msg) -> None:
        # $JS.ACK.[<domain>.<account>.]<stream>.<durable>.<delivered>.<stream seq>.<durable seq>.<ns>.<pending>[.<token>]
        parts = message.reply.split(".")
        first = 4 if len(parts) == 9 else 6
        self._connection = connection
        self._reply = message.reply
        self.subject = message.subject
        self.data = message.data
        self.headers: dict[str, str] = message.headers or {}
        self.delivered = int(parts[first])
        self.sequence = int(parts[first + 1])
        self.timestamp_ms = int(parts[first + 3]) // 1_000_000

    async def ack(self) -> None:
        await self._send(b"+ACK")

    async def nak(self, delay_s: float = 0.0) -> None:
        delay = b" " + msgspec.json.encode({"delay": round(delay_s * 1e9)}) if delay_s > 0 else b""
        await self._send(b"-NAK" + delay)

    async def in_progress(self) -> None:
        await self._send(b"+WPI")

    async def _send(self, verdict: bytes) -> None:
        link = self._connection.now
        if link is None:
            raise BrokerUnavailable("no connection to the broker")
        with translating():
            await link.client.publish(self._reply, verdict)
