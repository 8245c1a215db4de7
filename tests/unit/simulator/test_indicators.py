"""The indicators in the metrics: the meter counts what it writes, and comes to what the log says."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from simulator.eventlog import EVENT_SCHEMA
from simulator.indicators import Counts, JobJudge, announce, judge_requests, tell
from simulator.logfiles import REQUEST_SCHEMA
from simulator.telemetry import Telemetry
from tests.unit.zjops.slo.logs import START, Jobs, answers, probe, write_requests
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import SystemClock
from zjops.domain.indicators import COUNTED
from zjops.slo.catalogue import objectives_of
from zjops.slo.log import minutes_of

HOUR = 60


def _told(log: Path) -> Counts:
    """What the log says of each plan, as counts."""
    chosen = [one for one in objectives_of() if one.plan != "all"]
    with Warehouse(log) as warehouse:
        found = minutes_of(warehouse, chosen, START + HOUR)
    counts: Counts = Counts()
    for (indicator, plan), minutes in found.items():
        counts[indicator.name, plan, "good"] += sum(minutes.good)
        counts[indicator.name, plan, "bad"] += sum(minutes.bad)
    return +counts


def test_requests_are_counted_as_the_log_counts_them(tmp_path: Path) -> None:
    rows = [
        answers(START, 50, within=40, slow=45), answers(START, 3, status=503), answers(START, 2, timeouts=2),
        answers(START, 7, plan="free", status=404), answers(START, 9, plan="none", status=401),
        answers(START, 60, plan="prober"),
    ]  # fmt: skip
    write_requests(tmp_path, rows)
    frame = pl.DataFrame([*rows, probe(START)], schema=REQUEST_SCHEMA, orient="row")
    assert judge_requests(frame) == _told(tmp_path)


def test_jobs_are_counted_as_the_log_counts_them_file_after_file(tmp_path: Path) -> None:
    jobs = Jobs()
    for number in range(200):
        at, plan = 5.0 * number, ("pro", "free")[number % 2]
        start, end = at + (1, 31, 29)[number % 3], at + (40, 290, 310, 60)[number % 4]
        if number % 7 == 0:
            charge = ("charged", "released")[number % 2]
            jobs.add(at, plan=plan, processing=start, failed=end, confirmed=end + 5, charge=charge)
        else:
            jobs.add(at, plan=plan, processing=start, completed=end, confirmed=end + (10, 59, 61)[number % 3])
    jobs.add(0, tenant="prober", plan="free", processing=1, completed=2, confirmed=3)
    jobs.save(tmp_path)
    held = sorted(jobs.rows, key=lambda row: row["time"])
    judge, found = JobJudge(), Counts()
    for first in range(0, len(held), 97):
        found += judge(pl.DataFrame(held[first : first + 97], schema=EVENT_SCHEMA, orient="row"))
    assert found == _told(tmp_path)
    assert {name for name, _, outcome in found if outcome == "bad"} >= {"start-30s", "confirmation-1m", "job-success"}


def test_a_second_attempt_is_no_second_start() -> None:
    jobs = Jobs()
    jobs.add(0, processing=100)
    frame = pl.DataFrame(jobs.rows, schema=EVENT_SCHEMA, orient="row").with_columns(attempt=pl.lit(2, pl.Int32))
    assert JobJudge()(frame) == Counts()


@pytest.mark.parametrize("schema", [REQUEST_SCHEMA, EVENT_SCHEMA], ids=["no requests", "no events"])
def test_nothing_is_nothing(schema: dict[str, pl.DataType]) -> None:
    judge = judge_requests if schema is REQUEST_SCHEMA else JobJudge()
    assert not judge(pl.DataFrame(schema=schema))


def test_every_series_begins_at_zero_and_grows() -> None:
    telemetry = Telemetry("meter", SystemClock(), None)
    announce(telemetry)
    tell(telemetry, Counts({("availability", "pro", "bad"): 3}))
    lines = telemetry.metrics_text().decode().splitlines()
    found = [line for line in lines if line.startswith("slo_events_total{")]
    assert len(found) == len(COUNTED) * 4 * 2
    assert 'slo_events_total{outcome="bad",plan="pro",sli="availability"} 3.0' in found
    assert sum(line.endswith(" 0.0") for line in found) == len(found) - 1
