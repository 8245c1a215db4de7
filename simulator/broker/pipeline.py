"""Publication in order with many messages under way, each chained to the one before it.

A message names its predecessor twice: by sequence, which the stream never forgets, and by id. The sequence alone is
not enough in a pipeline: when another writer takes the place of our first message, that one is refused, but the
second one's expectation is met by the stranger, and the stream would hold our messages with a hole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from simulator.broker.client import Arrived, QuickClient, header_block
from simulator.broker.port import Outgoing
from zjops.domain.errors import BrokerUnavailable, UsageError, ZjopsError

UNDER_WAY = 2_000
"""Far below the 10,000 that a stream of nats-server buffers before it refuses."""
SLICE = 250
WRONG_LAST = frozenset((10070, 10071, 10164))
"""JetStream's error codes for a wrong last message id and a wrong last sequence."""


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


_decode = msgspec.json.Decoder(_PubAck).decode


class Batch:
    """The messages of one call to `publish`, and what the stream answered."""

    def __init__(self, messages: Sequence[Outgoing], expected_last: int | None) -> None:
        if expected_last is not None and not all(message.msg_id for message in messages):
            raise UsageError("a chained message needs an id")
        self._messages, self._expected = messages, expected_last
        self._sent = self._answered = 0
        self._bound = 0
        self._room: asyncio.Future[None] | None = None
        self.last = 0
        self.fenced = False
        self.error: ZjopsError | None = None
        self._closed = False

    async def deliver(self, client: QuickClient, inbox: str) -> None:
        """Send everything, stop at the first refusal, and return when all that was sent is answered."""
        for start in range(0, len(self._messages), SLICE):
            await self._at_most(UNDER_WAY)
            for index in range(start, min(start + SLICE, len(self._messages))):
                if self._closed or self.fenced or self.error:
                    break
                message = self._messages[index]
                self._sent += 1
                await client.send(message.subject, message.data, inbox, self._headers(index))
            # The client writes only when this task gives way.
            await asyncio.sleep(0)
        await self._at_most(0)

    def close(self) -> None:
        """Nobody waits any more: send nothing further. The client may swallow a cancellation, so `deliver` is told."""
        self._closed = True
        self._wake()

    def _headers(self, index: int) -> bytes:
        message = self._messages[index]
        headers = dict(message.headers) if message.headers else {}
        if message.msg_id:
            headers["Nats-Msg-Id"] = message.msg_id
        if self._expected is not None:
            headers["Nats-Expected-Last-Sequence"] = str(self._expected + index)
            if index:
                headers["Nats-Expected-Last-Msg-Id"] = self._messages[index - 1].msg_id or ""
        return header_block(headers)

    def answer(self, reply: Arrived) -> None:
        """Note one answer of the stream."""
        self._answered += 1
        ack = _decode(reply.data) if reply.data else _PubAck(error=_Error(503, 0, "no stream takes the subject"))
        if ack.error is not None:
            self._refused(ack.error)
        elif ack.duplicate and self._expected is not None:
            self.fenced = True
        else:
            self.last = max(self.last, ack.seq)
        if self._sent - self._answered <= self._bound:
            self._wake()

    def _refused(self, error: _Error) -> None:
        if error.err_code in WRONG_LAST:
            self.fenced = True
        elif error.code == 400:
            self.error = self.error or UsageError(f"the broker refuses: {error.description}")
        else:
            self.error = self.error or BrokerUnavailable(f"the broker refuses: {error.description}")

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _at_most(self, bound: int) -> None:
        self._bound = bound
        if self._sent - self._answered > bound and not self._closed:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
