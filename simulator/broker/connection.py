"""One connection to nats-server that comes back by itself for ever.

The client's own reconnection is switched off: it keeps what was published during an outage and sends it later, after
its caller was told that it failed, and it waits without bound for a stalled socket. Here a lost client is thrown away
with everything in it and a fresh one takes its place and its subscriptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from simulator.broker.client import QuickClient, Taker
from zjops.domain.errors import BrokerUnavailable, UsageError, ZjopsError

T = TypeVar("T")
Handler = Callable[[Msg], Coroutine[Any, Any, None]]

OPEN_WITHIN_S = 5.0
ANSWER_WITHIN_S = 5.0
RETRY_EVERY_S = 0.1
CLOSE_WITHIN_S = 1.0
PING_EVERY_S = 5
PINGS_UNANSWERED = 2

_USAGE = (nats.errors.BadSubjectError, nats.errors.BadHeaderError, nats.errors.MaxPayloadError, ValueError)
_AWAY = (nats.errors.Error, TimeoutError, OSError)
_log = logging.getLogger(__name__)


def translated(exc: Exception) -> ZjopsError:
    """The error of this project that says the same as one of the NATS client."""
    if isinstance(exc, ZjopsError):
        return exc
    if isinstance(exc, _USAGE):
        return UsageError(f"the broker cannot take this: {exc}")
    if isinstance(exc, nats.js.errors.APIError) and exc.code == 400:
        return UsageError(f"the broker refuses: {exc.description}")
    return BrokerUnavailable(f"the broker does not answer: {exc}")


@contextlib.contextmanager
def translating() -> Any:
    """Let only errors of this project out."""
    try:
        yield
    except (*_USAGE, *_AWAY) as exc:
        raise translated(exc) from exc


class Link(NamedTuple):
    """A connected client; `lost` ends when the connection does."""

    client: QuickClient
    js: JetStreamContext
    lost: asyncio.Future[None]


class Connection:
    """Owns the client: opens it, replaces it when lost, and knows its subscriptions."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url, self._user, self._password = url, user, password
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._listening: dict[int, Callable[[QuickClient], Awaitable[Subscription]]] = {}
        self._unsubscribe: dict[int, Callable[[], Awaitable[None]]] = {}
        self._numbers = 0
        self._opened = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect. Raises `BrokerUnavailable` when nobody answers within five seconds; safe to repeat."""
        if not self._opened:
            await self._connect()
            self._opened = True

    async def close(self) -> None:
        """Send what is left and disconnect; safe twice and before `open`."""
        self._opened = False
        link, self._link = self._link, None
        self._up.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if link is not None:
            _end(link.lost)
            await _discard(link.client)

    async def link(self, within_s: float = ANSWER_WITHIN_S) -> Link:
        """The live connection, waited for a while when it is away."""
        if not self._opened:
            raise BrokerUnavailable("the broker is not started")
        if self.now is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._up.wait(), within_s)
        link = self.now
        if link is None:
            raise BrokerUnavailable(f"no connection to the broker at {self._url}")
        return link

    @property
    def now(self) -> Link | None:
        """The live connection, if there is one at this moment."""
        if self._link is not None and self._link.client.is_closed:
            # The client tells of its end only after it has tidied up.
            self._lose(self._link)
        return self._link

    async def ask(self, question: Callable[[JetStreamContext], Coroutine[Any, Any, T]]) -> T:
        """One question to JetStream, answered soon or `BrokerUnavailable`."""
        link = await self.link()
        return await self.guard(link, question(link.js), ANSWER_WITHIN_S)

    async def guard(self, link: Link, work: Coroutine[Any, Any, T], within_s: float) -> T:
        """The outcome of work on a link; ends early when the link is lost, and gives up a link that is mute."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(_seen)
        try:
            await asyncio.wait((task, link.lost), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                with translating():
                    return task.result()
        finally:
            task.cancel()
        if link.lost.done():
            raise BrokerUnavailable("the connection to the broker was lost")
        self._lose(link)
        raise BrokerUnavailable(f"the broker did not answer within {within_s:g} s")

    async def subscribe(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Have messages of a subject handled from now on, across reconnections; returns how to stop."""
        return await self._keep(lambda client: client.subscribe(subject, cb=handler, pending_bytes_limit=0))

    async def attend(self, subject: str, taker: Taker) -> Callable[[], Awaitable[None]]:
        """As `subscribe`, but each message is taken in the very step that reads it."""
        return await self._keep(lambda client: client.attend(subject, taker))

    async def _keep(self, subscribe: Callable[[QuickClient], Awaitable[Subscription]]) -> Callable[[], Awaitable[None]]:
        link = await self.link()
        self._numbers += 1
        number = self._numbers
        self._listening[number] = subscribe
        try:
            await self._attach(link, number)
            # A request travels behind the subscription; the client's own flush may overtake it.
            await self.guard(link, link.js.account_info(), ANSWER_WITHIN_S)
        except BaseException:
            self._listening.pop(number, None)
            raise

        async def unsubscribe() -> None:
            self._listening.pop(number, None)
            stop = self._unsubscribe.pop(number, None)
            if stop is not None:
                with contextlib.suppress(*_AWAY):
                    await stop()

        return unsubscribe

    async def _attach(self, link: Link, number: int) -> None:
        with translating():
            subscription = await self._listening[number](link.client)
        self._unsubscribe[number] = subscription.unsubscribe

    async def _connect(self) -> None:
        client = QuickClient()
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        link = Link(client, client.jetstream(timeout=ANSWER_WITHIN_S), lost)

        async def gone() -> None:
            self._lose(link)

        try:
            with translating():
                await asyncio.wait_for(self._dial(client, gone), OPEN_WITHIN_S)
                for number in list(self._listening):
                    await self._attach(link, number)
        except BaseException:
            await _discard(client)
            raise
        self._link = link
        self._up.set()
        for task in (client._reading_task, client._flusher_task):
            if task is not None:
                # Either may end by an error that the client does not report.
                task.add_done_callback(partial(self._ended, link))

    def _ended(self, link: Link, task: asyncio.Task[Any]) -> None:
        _seen(task)
        self._lose(link)

    async def _dial(self, client: QuickClient, gone: Callable[[], Awaitable[None]]) -> None:
        await client.connect(
            self._url, user=self._user, password=self._password, error_cb=_note, closed_cb=gone,
            allow_reconnect=False, max_reconnect_attempts=1, reconnect_time_wait=RETRY_EVERY_S,  # type: ignore[arg-type]
            connect_timeout=2, ping_interval=PING_EVERY_S, max_outstanding_pings=PINGS_UNANSWERED,
        )  # fmt: skip

    def _lose(self, link: Link) -> None:
        """Forget a link and have a new one made; later reports of the same loss change nothing."""
        _end(link.lost)
        if self._link is link:
            self._link = None
            self._up.clear()
            self.spawn(_discard(link.client))
            if self._opened:
                self.spawn(self._reconnect())

    async def _reconnect(self) -> None:
        while self._opened and self._link is None:
            try:
                await self._connect()
            except ZjopsError as exc:
                _log.debug("still no broker: %s", exc)
                await asyncio.sleep(RETRY_EVERY_S)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that nobody waits for; it ends with the connection."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _seen(task: asyncio.Task[Any]) -> None:
    """An outcome that comes after its caller was told of the loss concerns nobody."""
    if not task.cancelled():
        task.exception()


def _end(lost: asyncio.Future[None]) -> None:
    if not lost.done():
        lost.set_result(None)


async def _note(exc: Exception) -> None:
    _log.debug("nats: %s", exc)


async def _discard(client: QuickClient) -> None:
    """Close a client and finish what its own close leaves behind when the socket fails or stalls meanwhile."""
    try:
        await asyncio.wait_for(client.close(), CLOSE_WITHIN_S)
    except _AWAY as exc:
        _log.debug("nats: %s", exc)
    finally:
        for subscription in list(client._subs.values()):
            subscription._stop_processing()
        writer = getattr(client._transport, "_io_writer", None)
        if writer is not None:
            # A transport that is closed already has no loop to abort on.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
