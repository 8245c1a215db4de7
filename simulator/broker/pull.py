"""Requests for messages of a durable, and the messages that come of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from nats.aio.msg import Msg

from simulator.broker.client import Arrived
from simulator.broker.connection import Connection, Link, translating
from zjops.domain.errors import BrokerUnavailable
from zjops.domain.events import DurableSpec, delivery

ANSWER_MARGIN_S = 2.0
"""How much later than asked an empty answer may come before the connection counts as mute."""
AT_ONCE_S = 0.005
HEARTBEAT_S = 0.25
_NOTHING = frozenset(("404", "408"))
"""Statuses that end a request in order: no messages (any more), time is up."""
_HEARTBEAT = "100"


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def is_delivery(message: Arrived) -> bool:
    """Whether a message comes from a stream; a status of the server has nothing to acknowledge."""
    return message.reply.startswith("$JS.ACK.")


class Pull:
    """Collects until the batch is full or the server says that there is no more."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.messages: list[Arrived] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, message: Arrived) -> bool:
        """Take a delivery, unless the pull is over."""
        if self.done.done():
            return False
        self.messages.append(message)
        if len(self.messages) >= self.batch:
            self.done.set_result(None)
        return True

    def status(self, message: Arrived) -> None:
        """Take a status of the server."""
        headers = message.headers or {}
        status = headers.get("Status", "")
        if self.done.done() or status == _HEARTBEAT:
            return
        if status in _NOTHING or self.messages:
            self.done.set_result(None)
        else:
            reason = headers.get("Description", "no such durable")
            self.done.set_exception(BrokerUnavailable(f"the broker refuses: {status} {reason}"))


class Inbox:
    """Where the messages of one durable arrive, for one fetch at a time.

    A delivery carries its own subject and so does not tell which request it answers; a status carries the request's.
    """

    def __init__(self, connection: Connection, subject: str, spec: DurableSpec) -> None:
        self._connection, self._subject, self._spec = connection, subject, spec
        self._pull: Pull | None = None
        self._unsubscribe: Callable[[], Awaitable[None]] | None = None
        self.retired = False
        self._reply = ""
        self._requests = 0

    async def open(self) -> None:
        """Begin to listen; what comes stays with this inbox across reconnections."""
        self._unsubscribe = await self._connection.attend(f"{self._subject}.*", self._receive)

    async def fetch(self, link: Link, batch: int, wait_s: float) -> list[Arrived]:
        """One request and what came of it; nothing that was delivered is lost when the caller leaves."""
        self._requests += 1
        self._reply = f"{self._subject}.{self._requests}"
        pull = self._pull = Pull(batch)
        try:
            await self._connection.guard(link, self._ask(link, pull, wait_s), wait_s + ANSWER_MARGIN_S)
        except BrokerUnavailable:
            if not pull.messages:
                raise
        except asyncio.CancelledError:
            await self._retire(pull)
            raise
        finally:
            self._pull = None
        return pull.messages

    async def _ask(self, link: Link, pull: Pull, wait_s: float) -> None:
        """`no_wait` with `expires` waits for a first message and then takes what is there, no more.

        When nothing more may be delivered because too much is claimed, the server keeps such a request open after the
        first messages; a heartbeat makes it end there too.
        """
        request = {"batch": pull.batch, "no_wait": True, "expires": nanoseconds(max(wait_s, AT_ONCE_S))}
        if wait_s >= 2 * HEARTBEAT_S:
            request["idle_heartbeat"] = nanoseconds(HEARTBEAT_S)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._spec.stream}.{self._spec.name}"
        await link.client.send(subject, msgspec.json.encode(request), self._reply)
        await pull.done

    async def _retire(self, pull: Pull) -> None:
        """The server keeps the request open and would answer it to whoever listens here: so nobody may any more."""
        self.retired = True
        await self._give_back(pull.messages)
        if self._unsubscribe is not None:
            await self._unsubscribe()

    def _receive(self, message: Arrived) -> None:
        pull = self._pull
        if is_delivery(message):
            if pull is None or not pull.take(message):
                self._connection.spawn(self._give_back([message]))
        elif pull is not None and message.subject == self._reply:
            pull.status(message)

    async def _give_back(self, messages: list[Arrived]) -> None:
        """Whoever asked has left: somebody else gets them now, not when the claim runs out."""
        for message in messages:
            with contextlib.suppress(BrokerUnavailable):
                await NatsMessage(self._connection, message).nak()


class NatsMessage:
    """A delivery; an acknowledgement is sent and not waited for, so a lost one means another delivery."""

    __slots__ = ("_connection", "_reply", "data", "delivered", "headers", "sequence", "subject", "timestamp_ms")

    def __init__(self, connection: Connection, message: Arrived | Msg) -> None:
        _, _, delivered, sequence, _, stored_ns, _ = delivery(message.reply)
        self._connection = connection
        self._reply = message.reply
        self.subject = message.subject
        self.data = message.data
        self.headers: Mapping[str, str] = {} if message.headers is None else message.headers
        self.delivered = int(delivered)
        self.sequence = int(sequence)
        self.timestamp_ms = int(stored_ns) // 1_000_000

    async def ack(self) -> None:
        await self._send(b"+ACK")

    async def nak(self, delay_s: float = 0.0) -> None:
        delay = b" " + msgspec.json.encode({"delay": nanoseconds(delay_s)}) if delay_s > 0 else b""
        await self._send(b"-NAK" + delay)

    async def in_progress(self) -> None:
        await self._send(b"+WPI")

    async def _send(self, verdict: bytes) -> None:
        link = self._connection.now
        if link is None:
            raise BrokerUnavailable("no connection to the broker")
        with translating():
            await link.client.answer(self._reply, verdict)
