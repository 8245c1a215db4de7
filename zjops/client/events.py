"""Events as they flow: the log's streams, and what operators have published again, read from NATS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js import api

from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.events import delivery, replay_subject

OPEN_WITHIN_S = 5.0
WAIT_FIRST_S, WAIT_MOST_S = 0.2, 5.0
TRIES = 8
PING_EVERY_S, PINGS_UNANSWERED = 5, 2


class Heard(NamedTuple):
    """An event as it came: its stream and number there, or none of both when it was published again."""

    stream: str | None
    sequence: int | None
    subject: str
    data: bytes


class Start(NamedTuple):
    """Where to begin: at a sequence, at a moment in Unix ms, with the newest so many, or with what is new."""

    sequence: int | None = None
    since_ms: int | None = None
    newest: int | None = None


class Tail:
    """Follows streams from a place on, in order and without a gap, also through a restart of the broker.

    `listening` is called with every connection. `known` is the last number heard of each stream: handed to a successor,
    it goes on from there. After so many `tries` without an answer it gives up.
    """

    def __init__(
        self, context: Context, clock: SystemClock | None = None, listening: Callable[[], None] = lambda: None,
        known: dict[str, int] | None = None, tries: int = TRIES,
    ) -> None:  # fmt: skip
        if context.nats_url is None:
            raise UsageError(f"context {context.name} has no NATS address; add nats_url to its entry")
        self._context, self._clock, self._listening = context, clock or SystemClock(), listening
        self._url: str = context.nats_url
        self._tries = tries
        self._last: dict[str, int] = {} if known is None else known

    async def streams(self, names: Sequence[str], start: Start) -> AsyncIterator[Heard]:
        """Every event of these streams. Raises `UnreachableError` when the broker stays away."""

        async def begin(client: Client, put: Callable[[Msg], Awaitable[None]]) -> None:
            for name in names:
                config = self._config(name, start)
                if config.deliver_policy is api.DeliverPolicy.NEW:
                    # What comes between two connections counts from here on, too.
                    last = (await client.jetstream().stream_info(name)).state.last_seq
                    self._last[name] = max(0, last - (start.newest or 0))
                    config = self._config(name, start)
                await client.jetstream().subscribe(
                    ">", stream=name, cb=put, manual_ack=True, config=config, pending_bytes_limit=0
                )

        async for message in self._messages(begin):
            # The library's own reading of all seven words costs a tenth of what is done with an event.
            stream, _, _, number, *_ = delivery(message.reply)
            if (sequence := int(number)) > self._last.get(stream, 0):
                self._last[stream] = sequence
                yield Heard(stream, sequence, message.subject, message.data)

    async def replay(self, name: str) -> AsyncIterator[Heard]:
        """What a named replay publishes from now on; what was published before is not kept anywhere."""

        async def begin(client: Client, put: Callable[[Msg], Awaitable[None]]) -> None:
            await client.subscribe(replay_subject(name, ">"), cb=put, pending_bytes_limit=0)
            await client.flush()

        async for message in self._messages(begin):
            yield Heard(None, None, message.subject, message.data)

    def _config(self, stream: str, start: Start) -> api.ConsumerConfig:
        config = api.ConsumerConfig(
            ack_policy=api.AckPolicy.NONE, mem_storage=True, num_replicas=1, deliver_policy=api.DeliverPolicy.NEW
        )
        first = self._last[stream] + 1 if stream in self._last else start.sequence
        if first is not None:
            config.deliver_policy, config.opt_start_seq = api.DeliverPolicy.BY_START_SEQUENCE, max(1, first)
        elif start.since_ms is not None:
            config.deliver_policy = api.DeliverPolicy.BY_START_TIME
            config.opt_start_time = dt.datetime.fromtimestamp(start.since_ms / 1000, dt.UTC)
        return config

    async def _messages(
        self, begin: Callable[[Client, Callable[[Msg], Awaitable[None]]], Awaitable[None]]
    ) -> AsyncIterator[Msg]:
        failures = 0
        while True:
            heard: asyncio.Queue[Msg | None] = asyncio.Queue()
            client = Client()
            try:
                await self._connect(client, heard)
                await begin(client, heard.put)
                self._listening()
                while (message := await heard.get()) is not None:
                    failures = 0
                    yield message
                reason = "the connection was lost"
            except (Error, OSError, TimeoutError) as exc:
                reason = str(exc) or type(exc).__name__
            finally:
                with contextlib.suppress(Error, OSError, TimeoutError):
                    await asyncio.wait_for(client.close(), OPEN_WITHIN_S)
            failures += 1
            if failures >= self._tries:
                raise UnreachableError(f"NATS at {self._url} does not answer ({reason}); zjops status")
            await self._clock.sleep(min(WAIT_MOST_S, WAIT_FIRST_S * 2 ** (failures - 1)))

    async def _connect(self, client: Client, heard: asyncio.Queue[Msg | None]) -> None:
        """The client's own reconnection forgets where it was, so a lost one is replaced by a fresh one."""

        async def gone() -> None:
            await heard.put(None)

        async def quiet(exc: Exception) -> None:
            return

        context = self._context
        await asyncio.wait_for(
            client.connect(
                self._url, user=context.nats_user, password=context.nats_password, allow_reconnect=False,
                max_reconnect_attempts=1, connect_timeout=2, closed_cb=gone, error_cb=quiet,
                ping_interval=PING_EVERY_S, max_outstanding_pings=PINGS_UNANSWERED,
            ),
            OPEN_WITHIN_S,
        )  # fmt: skip
