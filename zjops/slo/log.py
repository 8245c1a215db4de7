"""From the logs to minutes of every indicator and plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import parse_rfc3339
from zjops.domain.indicators import (
    AVAILABILITY,
    CONFIRMATION,
    DURATION,
    LATENCIES_MS,
    LATENCY,
    OF_REQUESTS,
    START,
    SUCCESS,
)
from zjops.domain.requests import UNBILLED
from zjops.domain.synthetic import synthetic_part
from zjops.slo.catalogue import PLANS
from zjops.slo.minutes import Minutes
from zjops.slo.model import Indicator, Objective

if TYPE_CHECKING:
    import polars as pl

MINUTE_MS = 60_000
Key = tuple[Indicator, str]
Columns = tuple[list[int], list[int], list[int]]
"""Minutes, good and bad."""


class Span(NamedTuple):
    """From and to before which moment each log says something, Unix ms; None for an empty one."""

    requests_since_ms: int | None
    requests_until_ms: int | None
    events_since_ms: int | None
    events_until_ms: int | None

    @property
    def until_ms(self) -> int | None:
        """The end of both."""
        return max((end for end in (self.requests_until_ms, self.events_until_ms) if end is not None), default=None)

    def since_minute(self, indicator: Indicator, otherwise: int) -> int:
        """The first minute of the log that an indicator is counted from."""
        since = self.requests_since_ms if indicator.kind in OF_REQUESTS else self.events_since_ms
        return otherwise if since is None else since // MINUTE_MS


def span_of(warehouse: Warehouse) -> Span:
    """How far the logs reach; a synthetic log reaches from when to when it was played."""
    (row,) = warehouse.rows("slo_span")
    span, played = Span(**row), synthetic_part(warehouse.log_dir)
    if played is None:
        return span
    first, last = parse_rfc3339(played.from_), parse_rfc3339(played.to)
    since = [None if one is None else min(one, first) for one in (span.requests_since_ms, span.events_since_ms)]
    until = [None if one is None else max(one, last) for one in (span.requests_until_ms, span.events_until_ms)]
    return Span(since[0], until[0], since[1], until[1])


def minutes_of(warehouse: Warehouse, objectives: Sequence[Objective], after_minute: int) -> dict[Key, Minutes]:
    """The minutes of every indicator and plan of some objectives, up to before a minute (since the Unix epoch).

    What happened later has no part in them: asked again for the same minute, a log that has grown says the same.
    """
    span = span_of(warehouse)
    first = after_minute - max(one.period_minutes for one in objectives)
    wanted = {(one.indicator, one.plan) for one in objectives}
    kinds = {indicator.kind for indicator, _ in wanted}
    found: defaultdict[Key, Columns] = defaultdict(lambda: ([], [], []))
    if kinds & set(OF_REQUESTS):
        _requests(warehouse, found, first, after_minute)
    if kinds - set(OF_REQUESTS):
        _jobs(warehouse, found, {indicator for indicator, _ in wanted}, first, after_minute)
    return {
        key: Minutes.of_columns(*found[key], max(first, span.since_minute(key[0], after_minute)), after_minute)
        for key in wanted
    }


def _requests(warehouse: Warehouse, found: dict[Key, Columns], first: int, after: int) -> None:
    frame = warehouse.frame("slo_requests", first_ms=first * MINUTE_MS, after_ms=after * MINUTE_MS, plans=list(PLANS))
    # Column by column: a month has hundreds of thousands of rows.
    for (plan,), part in frame.partition_by("plan", as_dict=True).items():
        found[Indicator(AVAILABILITY), plan] = _columns(part, part["good"], part["bad"])
        answered = part.filter(part["answered"] > 0)
        for bound in LATENCIES_MS:
            within = answered[f"within_{bound}ms"]
            found[Indicator(LATENCY, bound), plan] = _columns(answered, within, answered["answered"] - within)


def _columns(frame: pl.DataFrame, good: pl.Series, bad: pl.Series) -> Columns:
    return frame["minute"].to_list(), good.to_list(), bad.to_list()


def _jobs(warehouse: Warehouse, found: dict[Key, Columns], asked: set[Indicator], first: int, after: int) -> None:
    limits = {
        kind: sorted(one.within_ms for one in asked if one.kind == kind and one.within_ms is not None)
        for kind in (START, CONFIRMATION, DURATION)
    }
    rows = warehouse.tuples(
        "slo_jobs", first_ms=first * MINUTE_MS, after_ms=after * MINUTE_MS, start=limits[START],
        confirmation=limits[CONFIRMATION], duration=limits[DURATION], unbilled=sorted(UNBILLED),
        longest_ms=max((limit for some in limits.values() for limit in some), default=0),
    )  # fmt: skip
    for kind, limit_ms, plan, minute, good, bad in rows:
        columns = found[Indicator(kind, None if kind == SUCCESS else limit_ms), plan]
        for column, value in zip(columns, (minute, good, bad), strict=True):
            column.append(value)
