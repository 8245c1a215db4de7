"""The only place that asks the system what time it is.

Services receive a `Clock`. In virtual time the *event loop* is virtual: `VirtualLoop` never waits, it jumps to the
next timer, so that `asyncio.sleep`, `wait_for` and every time-out keep their meaning without a special case.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import functools
import selectors
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
RESOLUTION_S = 1e-6
"""The least step of virtual time."""
LOOK_EVERY = 16
"""How many turns of a busy virtual loop may pass until it looks at the system's own events."""


class Clock(Protocol):
    """What a service may know about time."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point, never going back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's own time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Sleep where there is no event loop, in the toolkit's own threads."""
        time.sleep(seconds)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """The time of the running `VirtualLoop`, counted from a fixed start."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._loop: asyncio.AbstractEventLoop | None = None
        self._time = _Time()
        self._sleepers: dict[float, list[asyncio.Future[None]]] = {}

    def now_ms(self) -> int:
        return self._start_ms + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            assert isinstance(loop, VirtualLoop)
            self._loop, self._time, self._sleepers = loop, loop.virtual, {}
        return self._time.now

    async def sleep(self, seconds: float) -> None:
        """Wait; whoever wakes at the same moment shares one timer."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        until = self.monotonic() + seconds
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if until in self._sleepers:
            self._sleepers[until].append(waiter)
        else:
            self._sleepers[until] = [waiter]
            loop.call_at(until, self._wake, until)
        await waiter

    def _wake(self, until: float) -> None:
        for waiter in self._sleepers.pop(until, ()):
            if not waiter.done():
                waiter.set_result(None)


class ManualClock:
    """A clock that stands still until a test moves it: for pure rules, which never sleep."""

    def __init__(self, start_ms: int = 0) -> None:
        self.ms = float(start_ms)

    def now_ms(self) -> int:
        return int(self.ms)

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Move forward by that many seconds."""
        self.ms += seconds * 1000


class _Time:
    """The moment of a virtual loop, in seconds since it began."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that moves virtual time forward where a real one would wait."""

    def __init__(self, virtual: _Time) -> None:
        super().__init__()
        self._virtual = virtual
        self._turn = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turn = (self._turn + 1) % LOOK_EVERY
        if timeout is not None and timeout <= 0 and self._turn:
            # Work is waiting: that the system is asked every time would cost as much as much of that work.
            return []
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            return ready if ready or timeout is not None else super().select(None)
        # Rounded so that sums of float steps never fall just short of a timer and loop without moving.
        now = self._virtual.now
        self._virtual.now = max(round(now + timeout, 6), now + RESOLUTION_S)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting costs nothing: idle time is skipped, order is kept."""

    def __init__(self) -> None:
        self.virtual = _Time()
        super().__init__(_JumpingSelector(self.virtual))

    def time(self) -> float:
        return self.virtual.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@functools.lru_cache(maxsize=4096)
def rfc3339(ms: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC with milliseconds, e.g. `2026-11-24T08:00:00.000Z`."""
    moment = dt.datetime.fromtimestamp(ms // 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """RFC 3339 to Unix milliseconds. Raises `ValueError` when malformed or without an offset."""
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z")
    return round(moment.timestamp() * 1000)


def utc_date(ms: int) -> str:
    """The UTC day of a moment as `YYYY-MM-DD`."""
    return rfc3339(ms)[:10]


@functools.lru_cache(maxsize=64)
def _month_of_day(day: int) -> str:
    return dt.datetime.fromtimestamp(day * 86_400, dt.UTC).strftime("%Y-%m")


def utc_month(ms: int) -> str:
    """The UTC month of a moment as `YYYY-MM`: the billing period it belongs to (C76)."""
    return rfc3339(ms)[:7]


@functools.lru_cache(maxsize=256)
def month_bounds_ms(month: str) -> tuple[int, int]:
    """First moment of a UTC month `YYYY-MM` and of the next, in Unix milliseconds."""
    year, number = int(month[:4]), int(month[5:7])
    start = dt.datetime(year, number, 1, tzinfo=dt.UTC)
    end = dt.datetime(year + number // 12, number % 12 + 1, 1, tzinfo=dt.UTC)
    return int(start.timestamp()) * 1000, int(end.timestamp()) * 1000


def http_date(ms: int) -> str:
    """Unix ms as an HTTP date (RFC 9110), e.g. `Sun, 30 Jun 2024 23:59:59 GMT`."""
    return email.utils.format_datetime(dt.datetime.fromtimestamp(ms // 1000, dt.UTC), usegmt=True)
