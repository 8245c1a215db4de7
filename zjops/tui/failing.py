"""Which stages of the pipeline were failing when, over all that is recorded: the overview's own rules, read at once.

Asking the overview at every second of a day would take minutes. Here every series is read once and followed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from zjops.feed.readings import CHAIN_HEAD, PLATFORM, RELAYER, ChainHead, PlatformState, RelayerView
from zjops.recording.reader import Recording
from zjops.tui import health
from zjops.tui.health import Level
from zjops.tui.pipeline import (
    ANSWERED_S,
    SOURCES,
    chain_late_s,
    finality_health,
    outbox_health,
    queue_health,
    relayer_health,
)

Value = TypeVar("Value")
SECOND_MS = 1000


class Look(NamedTuple):
    """The stages that were failing at a moment; of `unknown` ones nothing was known, for their source was away."""

    at_ms: int
    failing: frozenset[str]
    unknown: frozenset[str] = frozenset()


class Newest(Generic[Value]):
    """The newest value of a series up to a moment that only grows."""

    def __init__(self, series: Iterable[tuple[int, Value]]) -> None:
        self._rest = iter(series)
        self._next = next(self._rest, None)
        self._value: Value | None = None

    def at(self, at_ms: int) -> Value | None:
        """The value that held at a moment; None before the first."""
        while self._next is not None and self._next[0] <= at_ms:
            self._value = self._next[1]
            self._next = next(self._rest, None)
        return self._value


class Sums:
    """Sums of the last so many whole seconds before a second that only grows; rows are `(second, one, other)`."""

    def __init__(self, rows: Iterable[tuple[int, int, int]], length_s: int) -> None:
        self._rest, self._length_s = deque(rows), length_s
        self._held: deque[tuple[int, int, int]] = deque()
        self._one = self._other = 0

    def before(self, second: int) -> tuple[int, int]:
        """Both sums."""
        while self._rest and self._rest[0][0] < second:
            row = self._rest.popleft()
            self._held.append(row)
            self._one, self._other = self._one + row[1], self._other + row[2]
        while self._held and self._held[0][0] < second - self._length_s:
            _, one, other = self._held.popleft()
            self._one, self._other = self._one - one, self._other - other
        return self._one, self._other


class Oldest:
    """Since when the oldest batch that is not final has been closed, at a moment that only grows."""

    def __init__(self, spans: Iterable[tuple[int, int | None]]) -> None:
        self._rest = deque(spans)
        self._open: list[tuple[int, int | None]] = []

    def at(self, at_ms: int) -> int | None:
        """When it was closed; None while every batch is final."""
        while self._rest and self._rest[0][0] <= at_ms:
            self._open.append(self._rest.popleft())
        self._open = [span for span in self._open if span[1] is None or span[1] > at_ms]
        return self._open[0][0] if self._open else None


class Away:
    """Which sources were away at a moment."""

    def __init__(self, recording: Recording, last_ms: int) -> None:
        self._spans = [(gone.source, gone.since, until) for gone, until in recording.outage_spans(last_ms)]

    def at(self, at_ms: int) -> frozenset[str]:
        """Their names."""
        return frozenset(s for s, since, until in self._spans if since <= at_ms and (until is None or until > at_ms))


class Stages:
    """Follows every series that says how a stage stands."""

    def __init__(self, recording: Recording, last_ms: int, window_s: int) -> None:
        last_s = last_ms // SECOND_MS
        seconds, requests = recording.series(0, last_s), recording.request_series(0, last_s)
        self._answered = Sums(requests, ANSWERED_S)
        self._ended = Sums([(row.second, row.completed + row.failed, row.failed) for row in seconds], window_s)
        pending = recording.oldest_series("pending", last_ms)
        self._pending = Newest(pending)
        self._platform = Newest(recording.readings(PLATFORM, last_ms, PlatformState))
        self._relayer = Newest(recording.readings(RELAYER, last_ms, RelayerView))
        self._head = Newest(recording.readings(CHAIN_HEAD, last_ms, ChainHead))
        self._batches, self._away = Oldest(recording.batch_spans(last_ms)), Away(recording, last_ms)
        self.moments = _moments(
            last_ms, [at // SECOND_MS for at, _ in pending], [row.second for row in seconds],
            [row[0] for row in requests], window_s,
        )  # fmt: skip

    def look(self, at_ms: int) -> Look:
        """How the stages stand at a moment after the one before; as the overview shows them then."""
        second, state, view = at_ms // SECOND_MS, self._platform.at(at_ms), self._relayer.at(at_ms)
        total, bad = self._answered.before(second)
        ended, failed = self._ended.before(second)
        since = self._pending.at(at_ms)
        found = {
            "gateway": health.of_requests(total, bad, 0).level,
            "outbox": Level.UNKNOWN if state is None else outbox_health(state).level,
            "queue": queue_health(None if since is None else max(0, at_ms - since)).level,
            "workers": health.of_work(ended, failed).level,
            "relayer": Level.UNKNOWN if view is None else relayer_health(view).level,
            "chain": self._chain(view, at_ms),
        }
        away = self._away.at(at_ms)
        unknown = frozenset(name for name in found if SOURCES[name] in away)
        return Look(at_ms, frozenset(name for name, level in found.items() if level is Level.FAILING), unknown)

    def _chain(self, view: RelayerView | None, at_ms: int) -> Level:
        head, closed = self._head.at(at_ms), self._batches.at(at_ms)
        if head is None:
            return Level.UNKNOWN
        if chain_late_s(head, view, at_ms) is not None:
            return Level.FAILING
        return finality_health(None if closed is None else at_ms - closed).level


def looks(recording: Recording, last_ms: int, window_s: int) -> Iterator[Look]:
    """How the stages stood at every second up to a moment at which that can have changed, in order."""
    stages = Stages(recording, last_ms, window_s)
    return map(stages.look, stages.moments)


def _moments(
    last_ms: int, sampled: Sequence[int], events: Sequence[int], requests: Sequence[int], window_s: int
) -> list[int]:  # fmt: skip
    """When to look: at every whole second after something was noted, and when that falls out of its window."""
    seconds = {second + 1 for part in (sampled, events, requests) for second in part}
    seconds.update(second + 1 + ANSWERED_S for second in requests)
    seconds.update(second + 1 + window_s for second in events)
    return [at_ms for second in sorted(seconds) if (at_ms := second * SECOND_MS) <= last_ms]
