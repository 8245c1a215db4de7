"""The way of a job as stages, each with its rate, what waits, since when, and how it stands. Reads a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjops.client.standing import lag, progress_of, standstill
from zjops.domain.requests import API
from zjops.feed import messages
from zjops.feed.readings import CHAIN_HEAD, PLATFORM, RELAYER, ChainHead, PlatformState, RelayerView
from zjops.recording.reader import Recording
from zjops.recording.rows import BatchRow, Depth, OpenBatches, Outage, Second
from zjops.tui import health
from zjops.tui.figures import below_ms, span
from zjops.tui.health import Health, Level
from zjops.tui.moment import Instant

RATE_S = 10
"""Rates are those of the last so many whole seconds."""
POINTS = 120
NEWEST = 20
"""So many of the newest batches are shown at most; those that are open are counted however many there are."""
LATE_BLOCKS = 5
SOURCES = {
    "gateway": messages.API, "outbox": messages.API, "queue": messages.BROKER, "workers": messages.BROKER,
    "relayer": messages.API, "chain": messages.CHAIN,
}  # fmt: skip
"""Who tells of a stage: while that one is away, nothing is known of it."""
ANSWERED_S = 60
"""The gateway is judged by the answers of so many seconds."""


class Stage(NamedTuple):
    """One stage: `per_s` over `RATE_S`, how many wait there and since how many ms the oldest does, and its past."""

    name: str
    per_s: float
    waiting: int | None
    oldest_ms: int | None
    health: Health
    series: Sequence[float]


class Facts(NamedTuple):
    """What a recording says of one instant: `batches` are the newest, `open` counts all that are not final."""

    instant: Instant
    recent: Second
    series: list[Second]
    requests: list[tuple[int, int, int]]
    answered: tuple[int, int]
    histogram: tuple[int, ...]
    depths: dict[str, Depth]
    platform: PlatformState | None
    relayer: RelayerView | None
    head: ChainHead | None
    batches: list[BatchRow]
    open: OpenBatches
    newest_open: BatchRow | None
    closed: list[tuple[int, int]]
    outages: list[Outage]

    @property
    def bucket_s(self) -> int:
        """How many seconds are put together in the series."""
        return max(1, self.instant.window_s // POINTS)


def facts_of(recording: Recording, instant: Instant) -> Facts:
    """Read everything that the stages need."""
    at, last_s = instant.at_ms, instant.at_ms // 1000 - 1
    bucket = max(1, instant.window_s // POINTS)
    first_s = last_s - instant.window_s + 1
    recent = recording.series(last_s - RATE_S + 1, last_s)
    traffic = [row for row in recording.traffic(last_s - ANSWERED_S + 1, last_s) if row.source == API]
    totals = [(row.total, row.bad) for row in traffic]
    readings = {
        kind: found[1] if (found := recording.reading(kind, at, model)) else None
        for kind, model in ((PLATFORM, PlatformState), (RELAYER, RelayerView), (CHAIN_HEAD, ChainHead))
    }
    unfinished = recording.open_batches(at)
    return Facts(
        instant, sum_of(recent), recording.series(first_s, last_s, bucket),
        recording.request_series(first_s, last_s, bucket),
        (sum(total for total, _ in totals), sum(bad for _, bad in totals)),
        tuple(map(sum, zip(*(row.histogram for row in traffic), strict=True))) if traffic else (),
        recording.depths(at), readings[PLATFORM], readings[RELAYER], readings[CHAIN_HEAD],  # type: ignore[arg-type]
        recording.batches(at, NEWEST), unfinished,
        None if unfinished.newest is None else recording.batch(unfinished.newest, at),
        recording.batch_series(instant.first_ms, at), recording.outages(at),
    )  # fmt: skip


def sum_of(rows: Sequence[Second]) -> Second:
    """Everything that happened in these seconds."""
    return Second(0, *map(sum, zip(*(row[1:] for row in rows), strict=True))) if rows else Second(0)


def stages_of(facts: Facts) -> list[Stage]:
    """The stages in the order in which a job passes them."""
    away = {outage.source: outage for outage in facts.outages}
    made = [_gateway(facts), _outbox(facts), _queue(facts), _workers(facts), _relayer(facts), _chain(facts)]
    return [_aged(stage, away.get(SOURCES[stage.name]), facts.instant.at_ms) for stage in made]


def _aged(stage: Stage, outage: Outage | None, at_ms: int) -> Stage:
    """A source that is away counts before what it said last."""
    if outage is None:
        return stage
    why = f"{outage.source} away for {span(at_ms - outage.since)}: {outage.reason}"
    return stage._replace(health=Health(Level.STALE, why))


def points(facts: Facts, pairs: Sequence[tuple[int, float]]) -> list[float]:
    """A value a bucket of the window, 0 where there is none."""
    bucket = facts.bucket_s
    first = facts.instant.at_ms // 1000 - facts.instant.window_s
    values = [0.0] * (facts.instant.window_s // bucket)
    for second, value in pairs:
        place = (second - first) // bucket
        if 0 <= place < len(values):
            values[place] += value
    return values


def _events(facts: Facts, *names: str) -> list[float]:
    return points(facts, [(row.second, sum(getattr(row, name) for name in names)) for row in facts.series])


def _gateway(facts: Facts) -> Stage:
    recent_s = facts.instant.at_ms // 1000 - RATE_S
    bucket = facts.bucket_s
    recent = [total for second, total, _ in facts.requests if second >= recent_s]
    per_s = sum(recent) / max(RATE_S, bucket)
    bad = health.of_requests(*facts.answered, below_ms(facts.histogram, 95))
    series = points(facts, [(second, total) for second, total, _ in facts.requests])
    return Stage("gateway", per_s, None, None, bad, series)


def _outbox(facts: Facts) -> Stage:
    state = facts.platform
    per_s = facts.recent.submitted / RATE_S
    found = Health(Level.UNKNOWN, "not read yet") if state is None else outbox_health(state)
    waiting, oldest = (None, None) if state is None else (state.unpublished, state.oldest_unpublished_ms)
    return Stage("outbox", per_s, waiting, oldest, found, _events(facts, "submitted"))


def outbox_health(state: PlatformState) -> Health:
    """Whether the relay keeps up."""
    return health.of_age(state.oldest_unpublished_ms, health.OUTBOX_SLOW_MS, health.OUTBOX_LATE_MS)


def queue_health(age_ms: int | None) -> Health:
    """Whether jobs are started in time."""
    return health.of_age(age_ms, health.START_WITHIN_MS // 3, health.START_WITHIN_MS)


def relayer_health(view: RelayerView) -> Health:
    """Whether anybody confirms, and in time."""
    why = standstill(view)
    if why is not None:
        return Health(Level.FAILING if view.paused or not view.owner else Level.SLOW, why)
    return health.of_age(view.oldest_waiting_ms, health.FINAL_WITHIN_MS // 2, health.FINAL_WITHIN_MS)


def chain_late_s(head: ChainHead, view: RelayerView | None, at_ms: int) -> float | None:
    """By how many seconds the newest block is too old to be a passing matter; None while it is not."""
    block_s = view.block_time_seconds if view else 1.0
    _, late_s = lag(head.made_s, at_ms / 1000, block_s)
    return late_s if late_s > LATE_BLOCKS * max(1.0, block_s) else None


def finality_health(oldest_ms: int | None) -> Health:
    """Whether batches become final in time."""
    return health.of_age(oldest_ms, health.FINAL_WITHIN_MS // 2, health.FINAL_WITHIN_MS)


def _age(facts: Facts, *states: str) -> int | None:
    oldest = [d.oldest_at for state in states if (d := facts.depths.get(state)) and d.oldest_at is not None]
    return max(0, facts.instant.at_ms - min(oldest)) if oldest else None


def _jobs(facts: Facts, *states: str) -> int | None:
    return sum(facts.depths[state].jobs for state in states if state in facts.depths) if facts.depths else None


def _queue(facts: Facts) -> Stage:
    age = _age(facts, "pending")
    return Stage("queue", facts.recent.processing / RATE_S, _jobs(facts, "pending"), age, queue_health(age),
                 _events(facts, "processing"))  # fmt: skip


def _workers(facts: Facts) -> Stage:
    ended = sum(row.completed + row.failed for row in facts.series)
    found = health.of_work(ended, sum(row.failed for row in facts.series))
    recent = facts.recent
    return Stage(
        "workers", (recent.completed + recent.failed + recent.cancelled) / RATE_S, _jobs(facts, "processing"),
        _age(facts, "processing"), found, _events(facts, "completed", "failed", "cancelled"),
    )  # fmt: skip


def _relayer(facts: Facts) -> Stage:
    view = facts.relayer
    series = points(facts, facts.closed)
    recent = sum(number for second, number in facts.closed if second >= facts.instant.at_ms // 1000 - RATE_S) / RATE_S
    if view is None:
        return Stage("relayer", recent, None, None, Health(Level.UNKNOWN, "not read yet"), series)
    return Stage("relayer", recent, view.waiting_jobs, view.oldest_waiting_ms, relayer_health(view), series)


def _chain(facts: Facts) -> Stage:
    waiting = None if facts.relayer is None else facts.relayer.open_jobs
    since = facts.open.oldest_at
    oldest = None if since is None else facts.instant.at_ms - since
    found = worst_of_chain(facts, oldest)
    return Stage("chain", facts.recent.confirmed / RATE_S, waiting, oldest, found, _events(facts, "confirmed"))


def worst_of_chain(facts: Facts, oldest_ms: int | None) -> Health:
    """Whether blocks come, and whether batches become final in time."""
    head = facts.head
    if head is None:
        return Health(Level.UNKNOWN, "not read yet")
    late_s = chain_late_s(head, facts.relayer, facts.instant.at_ms)
    newest = facts.newest_open
    way = f", batch {newest.batch_id} {batch_text(newest, facts)}" if newest else ""
    way += f", {facts.open.batches:,} open" if facts.open.batches > 1 else ""
    if late_s is not None:
        return Health(Level.FAILING, f"block {head.height:,} is {span(late_s * 1000)} late")
    return Health(finality_health(oldest_ms).level, f"block {head.height:,}{way}")


def batch_text(batch: BatchRow, facts: Facts) -> str:
    """How far a batch is: `mined 2/3`."""
    state = batch.state_at(facts.instant.at_ms)
    head = None if facts.head is None else facts.head.height
    return progress_of(state, batch.block_number, head, None if facts.relayer is None else facts.relayer.finality)
