"""The Broker port on a real NATS server with JetStream."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

from nats.aio.msg import Msg
from nats.js import JetStreamContext, api
from nats.js.errors import BadRequestError, NotFoundError
from nats.nuid import NUID

from simulator.broker.client import Arrived
from simulator.broker.connection import Connection, Link, translating
from simulator.broker.following import Followers, not_handed_out
from simulator.broker.pipeline import Batch
from simulator.broker.port import Callback, Logged, Message, Outgoing, Unlisten, no_durable
from simulator.broker.pull import Inbox, NatsMessage
from simulator.broker.reading import read_log
from zjops.domain.errors import BrokerUnavailable, Fenced
from zjops.domain.events import DURABLES, DurableSpec, StreamSpec

PUBLISH_WITHIN_S = 10.0
READ_WITHIN_S = 10.0
OUTAGE_WAIT_S = 1.0
"""How long a fetch waits for the connection before it says that there is none."""
_IN_USE = 10058
"""JetStream's error code for a stream that exists with other settings."""


class NatsBroker:
    """Streams, durables and signals over one connection, which comes back by itself."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._connection = Connection(url, user, password)
        self._durables = {durable.name: durable for durable in DURABLES}
        self._inbox = f"_INBOX.{NUID().next().decode()}"
        self._batches: dict[str, Batch] = {}
        self._inboxes: dict[str, list[Inbox]] = {}
        self._followers = Followers(self._connection, f"{self._inbox}.S")
        self._numbers = 0
        self._started = False

    async def start(self) -> None:
        if self._started:
            return
        await self._connection.open()
        try:
            await self._connection.attend(f"{self._inbox}.P.*", self._on_answer)
        except BaseException:
            await self._connection.close()
            raise
        self._started = True

    async def stop(self) -> None:
        self._started = False
        await self._connection.close()

    async def ensure(self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec]) -> None:
        for stream in streams:
            await self._connection.ask(partial(_ensure_stream, spec=stream))
        for durable in durables:
            await self._connection.ask(partial(_ensure_durable, spec=durable))
            self._durables[durable.name] = durable

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        if not messages:
            return (await self.last(stream))[0] if expected_last is None else expected_last
        batch = Batch(messages, expected_last)
        link = await self._connection.link()
        number = self._number()
        self._batches[number] = batch
        try:
            work = batch.deliver(link.client, f"{self._inbox}.P.{number}")
            await self._connection.guard(link, work, PUBLISH_WITHIN_S)
        finally:
            batch.close()
            del self._batches[number]
        if batch.fenced:
            raise Fenced((await self.last(stream))[0])
        if batch.error is not None:
            raise batch.error
        return batch.last

    async def last(self, stream: str) -> tuple[int, str | None]:
        return await self._connection.ask(partial(_last, stream=stream))

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        spec = self._spec(durable, followed=False)
        link = await self._connection.link(min(wait_s, OUTAGE_WAIT_S))
        free = self._inboxes.setdefault(durable, [])
        if free:
            inbox = free.pop()
        else:
            inbox = Inbox(self._connection, f"{self._inbox}.F.{self._number()}", spec)
            await inbox.open()
        try:
            messages = await inbox.fetch(link, batch, wait_s)
        finally:
            if not inbox.retired:
                free.append(inbox)
        return [NatsMessage(self._connection, message) for message in messages]

    async def follow(self, durable: str, after: int, batch: int, wait_s: float) -> list[Logged]:
        spec = self._spec(durable, followed=True)
        link = await self._connection.link(min(wait_s, OUTAGE_WAIT_S))
        return await self._followers.follow(link, spec, after, batch, wait_s)

    async def read(self, stream: str, most: int, *, first: int = 1, since_ms: int | None = None) -> list[Logged]:
        link = await self._connection.link()
        found = await self._connection.guard(link, read_log(link.js, stream, most, first, since_ms), READ_WITHIN_S)
        messages = [NatsMessage(self._connection, message) for message in found]
        return [Logged(m.sequence, m.subject, m.data, m.headers, m.timestamp_ms) for m in messages]

    async def pending(self, durable: str) -> int:
        spec = self._spec(durable)
        if spec.followed:
            return await self._connection.ask(partial(not_handed_out, spec=spec))
        info = await self._connection.ask(lambda js: js.consumer_info(spec.stream, spec.name))
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def signal(self, subject: str, data: bytes = b"") -> None:
        link = self._connection.now
        if link is not None:
            with contextlib.suppress(BrokerUnavailable), translating():
                await link.client.publish(subject, data)

    async def announce(self, messages: Sequence[Outgoing]) -> None:
        link = await self._connection.link()
        await self._connection.guard(link, _announce(link, messages), PUBLISH_WITHIN_S)

    async def listen(self, subject: str, callback: Callback) -> Unlisten:
        async def handle(message: Msg) -> None:
            await callback(message.subject, message.data)

        return await self._connection.subscribe(subject, handle)

    def _spec(self, durable: str, *, followed: bool | None = None) -> DurableSpec:
        spec = self._durables.get(durable)
        if spec is None or followed not in (None, spec.followed):
            raise no_durable(durable, followed=followed)
        return spec

    def _number(self) -> str:
        self._numbers += 1
        return str(self._numbers)

    def _on_answer(self, message: Arrived) -> None:
        batch = self._batches.get(message.subject.rpartition(".")[2])
        if batch is not None:
            batch.answer(message)


async def _announce(link: Link, messages: Sequence[Outgoing]) -> None:
    for message in messages:
        headers = {**(message.headers or {})} | ({"Nats-Msg-Id": message.msg_id} if message.msg_id else {})
        await link.client.publish(message.subject, message.data, headers=headers or None)
    # An answered request travels behind them; the client's own flush may overtake what waits to be written.
    await link.js.account_info()


async def _ensure_stream(js: JetStreamContext, spec: StreamSpec) -> None:
    config = api.StreamConfig(
        name=spec.name, subjects=list(spec.subjects), retention=api.RetentionPolicy(spec.retention),
        max_age=spec.max_age_s, duplicate_window=spec.duplicate_window_s, storage=api.StorageType.FILE,
        first_seq=spec.first if spec.first > 1 else None,
    )  # fmt: skip
    try:
        await js.add_stream(config)
    except BadRequestError as exc:
        if exc.err_code != _IN_USE:
            raise
        await js.update_stream(config)


async def _ensure_durable(js: JetStreamContext, spec: DurableSpec) -> None:
    if spec.followed:
        # Whoever follows makes a consumer; one of this name is of a version that acknowledged.
        with contextlib.suppress(NotFoundError):
            await js.delete_consumer(spec.stream, spec.name)
        return
    await js.add_consumer(
        spec.stream,
        api.ConsumerConfig(
            name=spec.name, durable_name=spec.name, filter_subject=spec.filter, ack_wait=spec.ack_wait_s,
            max_ack_pending=spec.max_ack_pending,
        ),
    )  # fmt: skip


async def _last(js: JetStreamContext, stream: str) -> tuple[int, str | None]:
    sequence = (await js.stream_info(stream)).state.last_seq
    if not sequence:
        return 0, None
    try:
        message = await js.get_msg(stream, seq=sequence)
    except NotFoundError:
        return sequence, None
    return sequence, (message.headers or {}).get("Nats-Msg-Id")
