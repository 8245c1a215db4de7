"""The service level indicators in the metrics: what the meter writes to the log it also counts, as good or bad.

Prometheus thereby sees what the log holds. A job that is late is counted when it comes; the log, read afterwards,
counts it when its time was over.
"""

from __future__ import annotations

from collections import Counter

import polars as pl

from simulator.telemetry import Telemetry
from zjops.domain.indicators import (
    AVAILABILITY,
    BAD,
    CONFIRMATION,
    CONFIRMED_WITHIN_MS,
    COUNTED,
    DURATION,
    ENDED_WITHIN_MS,
    EVENTS_METRIC,
    GOOD,
    LATENCIES_MS,
    LATENCY,
    START,
    START_WITHIN_MS,
    SUCCESS,
    Indicator,
)
from zjops.domain.plans import price_book
from zjops.domain.requests import NOBODY, PROBER, UNBILLED

Counts = Counter[tuple[str, str, str]]
"""Events by indicator, plan and outcome."""
REMEMBERED = 1_000_000
"""Completed jobs whose confirmation is waited for; of older ones nothing is told."""


def announce(telemetry: Telemetry) -> None:
    """Let every series begin at zero, so that the first event of one is seen as a rise."""
    for indicator in COUNTED:
        for plan in price_book().plans:
            for outcome in (GOOD, BAD):
                telemetry.count(EVENTS_METRIC, 0, sli=indicator.name, plan=plan, outcome=outcome)


def tell(telemetry: Telemetry, counts: Counts) -> None:
    """Add to the metrics."""
    for (sli, plan, outcome), number in counts.items():
        telemetry.count(EVENTS_METRIC, number, sli=sli, plan=plan, outcome=outcome)


def judge_requests(frame: pl.DataFrame) -> Counts:
    """Rows of the request log: availability and latency of those who have a token, probes apart (C78)."""
    known = frame.filter((pl.col("source") == "api") & ~pl.col("plan").is_in([NOBODY, PROBER]))
    answered = pl.col("count").filter(pl.col("status").is_between(200, 299)).sum()
    by_plan = known.group_by("plan").agg(
        total=pl.col("count").sum(), bad=(pl.col("errors_5xx") + pl.col("timeouts")).sum(), answered=answered,
        within_300=pl.col("within_300ms").sum(), within_500=pl.col("within_500ms").sum(),
    )  # fmt: skip
    found: Counts = Counter()
    for plan, total, bad, held, *within in by_plan.iter_rows():
        _add(found, Indicator(AVAILABILITY), plan, total - bad, bad)
        for bound, good in zip(LATENCIES_MS, within, strict=True):
            _add(found, Indicator(LATENCY, bound), plan, good, held - good)
    return found


class JobJudge:
    """Rows of the event log. Remembers when jobs completed, until they are final."""

    def __init__(self) -> None:
        self._completed = pl.DataFrame(schema={"job_id": pl.Binary(), "completed_at": pl.Int64()})

    def __call__(self, frame: pl.DataFrame) -> Counts:
        """Start, success, duration and confirmation of the tenants' jobs (C59, C78, S13)."""
        known = frame.filter(~pl.col("tenant").is_in(sorted(UNBILLED)))
        kind, after_ms = pl.col("type"), pl.col("time") - pl.col("accepted_at")
        ended, ours = kind.is_in(["completed", "failed", "cancelled"]), pl.col("charge") != "charged"
        found: Counts = Counter()
        begun = (kind == "processing") & (pl.col("attempt") <= 1)
        _count(found, Indicator(START, START_WITHIN_MS), known.filter(begun), after_ms <= START_WITHIN_MS)
        _count(found, Indicator(DURATION, ENDED_WITHIN_MS), known.filter(ended), after_ms <= ENDED_WITHIN_MS)
        _count(found, Indicator(SUCCESS), known.filter((kind == "completed") | ((kind == "failed") & ours)),
               kind == "completed")  # fmt: skip
        took_ms = pl.col("time") - pl.col("completed_at")
        _count(found, Indicator(CONFIRMATION, CONFIRMED_WITHIN_MS), self._final(known), took_ms <= CONFIRMED_WITHIN_MS)
        return found

    def _final(self, known: pl.DataFrame) -> pl.DataFrame:
        """Confirmed jobs with the times at which they had completed; failed ones are on the chain too and not here."""
        fresh = known.filter(pl.col("type") == "completed").select("job_id", completed_at="time")
        completed = self._completed.vstack(fresh)
        final = known.filter(pl.col("type") == "confirmed").join(completed, on="job_id", how="inner")
        self._completed = completed.join(final, on="job_id", how="anti").tail(REMEMBERED)
        return final


def _count(found: Counts, indicator: Indicator, rows: pl.DataFrame, good: pl.Expr) -> None:
    for plan, total, kept in rows.group_by("plan").agg(pl.len(), good.sum().alias("good")).iter_rows():
        _add(found, indicator, plan, kept, total - kept)


def _add(found: Counts, indicator: Indicator, plan: str, good: int, bad: int) -> None:
    name = indicator.name
    if good:
        found[name, plan, GOOD] += good
    if bad:
        found[name, plan, BAD] += bad
