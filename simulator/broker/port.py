"""The Broker port: streams with ordered, acknowledged publication, their readers, and plain signals.

A reader of a stream is a durable: work is fetched from it and acknowledged, a log is followed by sequence.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from zjops.domain.errors import UsageError
from zjops.domain.events import DurableSpec, StreamSpec


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A message to publish; `msg_id` is what the broker deduplicates on inside its window."""

    subject: str
    data: bytes
    msg_id: str | None = None
    headers: dict[str, str] | None = None


class Message(Protocol):
    """A delivered message; until `ack` it comes back after the durable's ack_wait."""

    @property
    def subject(self) -> str: ...

    @property
    def data(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def sequence(self) -> int:
        """Its number in the stream, from 1."""
        ...

    @property
    def delivered(self) -> int:
        """Which delivery this is, from 1."""
        ...

    @property
    def timestamp_ms(self) -> int:
        """When the stream stored it, Unix ms."""
        ...

    async def ack(self) -> None:
        """Done: it does not come back."""
        ...

    async def nak(self, delay_s: float = 0.0) -> None:
        """Not now: it comes back after the delay."""
        ...

    async def in_progress(self) -> None:
        """Still at it: the durable's ack_wait begins again."""
        ...


class Logged(NamedTuple):
    """A message as a stream keeps it: its number there, and when it was stored in Unix ms."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    timestamp_ms: int


Callback = Callable[[str, bytes], Awaitable[None]]
Unlisten = Callable[[], Awaitable[None]]


@functools.lru_cache(maxsize=4096)
def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern: `*` stands for one part, a last `>` for one or more."""
    wanted, parts = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, parts = wanted[:-1], parts[: len(wanted) - 1] if len(parts) >= len(wanted) else []
    return len(wanted) == len(parts) and all(w in ("*", p) for w, p in zip(wanted, parts, strict=True))


def no_durable(name: str, *, followed: bool | None) -> UsageError:
    """The error for a durable that there is not, or not of that kind."""
    kind = {None: "", True: " that is followed", False: " that is fetched from"}[followed]
    return UsageError(f"there is no durable {name}{kind}")


class Broker(Protocol):
    """What roles need of a broker. Every method but `signal` raises `BrokerUnavailable` after a bounded wait."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def ensure(self, streams: Sequence[StreamSpec], durables: Sequence[DurableSpec]) -> None:
        """Create or update streams and durables. Safe to repeat."""
        ...

    async def publish(self, stream: str, messages: Sequence[Outgoing], *, expected_last: int | None = None) -> int:
        """Publish in order and wait until all are stored; returns the last sequence.

        With `expected_last` every message has an id and names its predecessor. Raises `Fenced` with the stream's actual
        last sequence when another writer was there; a prefix of the messages may then be stored, never a part with
        a hole. After `BrokerUnavailable` any prefix may be stored. Without `expected_last`, a message whose id the
        stream has seen inside its window is taken for stored.
        """
        ...

    async def last(self, stream: str) -> tuple[int, str | None]:
        """The last sequence ever given (0 for none) and the id of the last message, when it is still there."""
        ...

    async def fetch(self, durable: str, batch: int, wait_s: float) -> list[Message]:
        """Up to `batch` messages, at once if any wait, else whatever comes within `wait_s` (maybe none).

        Raises `UsageError` unless there is such a durable that is not followed.
        """
        ...

    async def follow(self, durable: str, after: int, batch: int, wait_s: float) -> list[Logged]:
        """Up to `batch` messages of a followed durable that come after a sequence of its stream, of the kind `limits`.

        In the stream's order, without a hole among those that it still holds; at once if any wait, else whatever comes
        within `wait_s` (maybe none). Nothing is acknowledged and the stream stays as it is: where a caller is, it says
        each time, and several may be at different places. Raises `UsageError` unless there is such a durable.
        """
        ...

    async def read(self, stream: str, most: int, *, first: int = 1, since_ms: int | None = None) -> list[Logged]:
        """Up to `most` messages that a stream of the kind `limits` keeps, in order, and nothing about it changes.

        They begin at the sequence `first`, or with `since_ms` at the first one stored at that moment or later.
        """
        ...

    async def pending(self, durable: str) -> int:
        """How many messages of a durable are not acknowledged yet.

        Of one that is followed: how many are not handed out to whoever is farthest; all while nobody follows it.
        """
        ...

    async def signal(self, subject: str, data: bytes = b"") -> None:
        """Tell whoever listens now: no storage, no promise, no error when the broker is away."""
        ...

    async def announce(self, messages: Sequence[Outgoing]) -> None:
        """Tell whoever listens now, headers and all, without storing it; returns when the broker has them all."""
        ...

    async def listen(self, subject: str, callback: Callback) -> Unlisten:
        """Be told of signals; `*` stands for one part. Returns how to stop."""
        ...
