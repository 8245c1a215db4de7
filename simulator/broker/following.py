"""Following a stream by sequence: consumers that acknowledge nothing, each where its reader says that it is.

A consumer is made for one place and goes on from there; whoever wants another place gets another consumer. Of what it
delivers its own numbers tell whether anything was lost on the way. So no consumer is ever repaired: one with a hole,
with a reader who left, or on a connection that was lost is thrown away, and nothing that was not handed out is missed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api
from nats.nuid import NUID

from simulator.broker.client import Arrived
from simulator.broker.connection import ANSWER_WITHIN_S, Connection, Link, translating
from simulator.broker.port import Logged
from simulator.broker.pull import ANSWER_MARGIN_S, AT_ONCE_S, Pull, is_delivery, nanoseconds
from zjops.domain.errors import BrokerUnavailable, ZjopsError
from zjops.domain.events import DurableSpec, delivery

FORGOTTEN_AFTER_S = 60.0
"""A consumer whose reader died is removed by the server."""
STANDING = 4
"""How many consumers of one durable wait for their readers to go on."""


class Followers:
    """The consumers of one client by durable; a reader goes on with the one that stands where it is."""

    def __init__(self, connection: Connection, inbox: str) -> None:
        self._connection, self._inbox = connection, inbox
        self._standing: dict[str, list[_Follower]] = {}
        self._numbers = 0

    async def follow(self, link: Link, spec: DurableSpec, after: int, batch: int, wait_s: float) -> list[Logged]:
        """What comes after a sequence, by a new consumer unless one stands there that the server still knows."""
        follower = self._take(link, spec, after)
        if follower is not None:
            try:
                return await self._read(follower, batch, wait_s)
            except BrokerUnavailable:
                if link.lost.done():
                    raise
        self._numbers += 1
        return await self._read(_Follower(link, spec, f"{self._inbox}.{self._numbers}", after), batch, wait_s)

    def _take(self, link: Link, spec: DurableSpec, after: int) -> _Follower | None:
        standing = [one for one in self._standing.get(spec.name, ()) if one.link is link]
        found = next((one for one in standing if one.after == after), None)
        self._standing[spec.name] = [one for one in standing if one is not found]
        return found

    async def _read(self, follower: _Follower, batch: int, wait_s: float) -> list[Logged]:
        guard = self._connection.guard
        try:
            if follower.fresh:
                await guard(follower.link, follower.open(), ANSWER_WITHIN_S)
            found = await guard(follower.link, follower.read(batch, wait_s), wait_s + ANSWER_MARGIN_S)
        except BaseException:
            await follower.close()
            raise
        await self._keep(follower)
        return found

    async def _keep(self, follower: _Follower) -> None:
        standing = self._standing[follower.spec.name]
        if follower.whole:
            standing.append(follower)
        else:
            await follower.close()
        if len(standing) > STANDING:
            await standing.pop(0).close()


class _Follower:
    """One consumer: made behind a sequence, for one reading at a time."""

    def __init__(self, link: Link, spec: DurableSpec, subject: str, after: int) -> None:
        self.link, self.spec, self.after = link, spec, after
        self.fresh = self.whole = True
        self._subject, self._reply = subject, ""
        self._consumer = f"{spec.name}-{NUID().next().decode()}"
        self._number = self._requests = 0
        self._pull: Pull | None = None
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Begin to listen, then have the consumer made."""
        self.fresh = False
        client, js, _ = self.link
        self._subscription = await client.attend(f"{self._subject}.*", self._receive)
        await js.add_consumer(self.spec.stream, api.ConsumerConfig(
            name=self._consumer, filter_subject=self.spec.filter, ack_policy=api.AckPolicy.NONE, mem_storage=True,
            num_replicas=1, inactive_threshold=FORGOTTEN_AFTER_S,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self.after + 1,
        ))  # fmt: skip

    async def read(self, batch: int, wait_s: float) -> list[Logged]:
        """One request and what came of it up to a hole. Raises `BrokerUnavailable` when it begins with one."""
        self._requests += 1
        self._reply = f"{self._subject}.{self._requests}"
        pull = self._pull = Pull(batch)
        request = {"batch": batch, "no_wait": True, "expires": nanoseconds(max(wait_s, AT_ONCE_S))}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.spec.stream}.{self._consumer}"
        await self.link.client.send(subject, msgspec.json.encode(request), self._reply)
        await pull.done
        self._pull = None
        return self._without_holes(pull.messages)

    async def close(self) -> None:
        """Leave without waiting: what still comes finds nobody, and the server forgets the consumer, if need be later.

        Nobody hears its answer.
        """
        self.whole = False
        with contextlib.suppress(ZjopsError), translating():
            if self._subscription is not None:
                await self._subscription.unsubscribe()
            subject = f"$JS.API.CONSUMER.DELETE.{self.spec.stream}.{self._consumer}"
            await self.link.client.publish(subject, b"", f"{self._subject}.closed")

    def _receive(self, message: Arrived) -> None:
        if self._pull is None:
            return
        if is_delivery(message):
            self._pull.take(message)
        elif message.subject == self._reply:
            self._pull.status(message)

    def _without_holes(self, messages: Sequence[Arrived]) -> list[Logged]:
        found = []
        for message in messages:
            _, _, _, sequence, number, stored_ns, _ = delivery(message.reply)
            if int(number) != self._number + 1:
                self.whole = False
                break
            self._number, self.after = self._number + 1, int(sequence)
            stored_ms = int(stored_ns) // 1_000_000
            headers = {} if message.headers is None else message.headers
            found.append(Logged(self.after, message.subject, message.data, headers, stored_ms))
        if messages and not found:
            raise BrokerUnavailable("messages of the broker were lost on the way")
        return found


async def not_handed_out(js: JetStreamContext, spec: DurableSpec) -> int:
    """How many messages the farthest of all clients' consumers has before it; all that there are when there is none."""
    consumers = await js.consumers_info(spec.stream)
    waiting = [one.num_pending or 0 for one in consumers if one.name.rpartition("-")[0] == spec.name]
    if waiting:
        return min(waiting)
    return sum(((await js.stream_info(spec.stream, spec.filter)).state.subjects or {}).values())
