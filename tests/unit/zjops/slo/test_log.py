"""From the logs to minutes: what counts as good, bad or unknown, in which minute, and for which plan."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.unit.zjops.slo.logs import START, Jobs, answers, objective, probe, write_requests
from zjops.analytics.warehouse import Warehouse
from zjops.slo.budget import budget_of
from zjops.slo.log import minutes_of, span_of
from zjops.slo.minutes import Minutes
from zjops.slo.model import Indicator

Buckets = list[tuple[int, int, int]]


def _minutes(log: Path, slo: str, plan: str, after: int) -> Minutes:
    one = objective(slo, plan)
    with Warehouse(log) as warehouse:
        return minutes_of(warehouse, [one], START + after)[one.indicator, one.plan]


def _buckets(log: Path, slo: str, plan: str, after: int) -> Buckets:
    """Minutes after the start, with good and bad."""
    found = _minutes(log, slo, plan, after)
    return [(at - START, good, bad) for at, good, bad in zip(found.at, found.good, found.bad, strict=True)]


def test_a_dead_api_shows_as_bad_minutes_by_the_prober_alone(tmp_path: Path) -> None:
    """The API answers for ten minutes and is then dead for five: it writes nothing, the prober's rows are failures."""
    alive = [answers(START + minute, 100) for minute in range(10)]
    probes = [probe(START + m, second, status=200 if m < 10 else 0) for m in range(15) for second in range(60)]
    write_requests(tmp_path, alive + probes)
    for slo, plan, customers in (("availability-pro", "pro", 100), ("availability", "free", 0)):
        found = _buckets(tmp_path, slo, plan, 15)
        assert found[:10] == [(minute, customers + 60, 0) for minute in range(10)]
        assert found[10:] == [(minute, 0, 60) for minute in range(10, 15)], "bad, neither unknown nor good"
        minutes = _minutes(tmp_path, slo, plan, 15)
        assert minutes.last(5) == (0, 300, 5, 5)
        assert (budget_of(minutes, 1000, 15).left_ppm or 0) < 0


def test_minutes_without_a_row_are_unknown_and_never_good(tmp_path: Path) -> None:
    write_requests(tmp_path, [answers(START, 10), answers(START + 9, 10)])
    minutes = _minutes(tmp_path, "availability-pro", "pro", 20)
    count = minutes.last(20)
    assert (count.good, count.bad, count.known, count.unknown) == (20, 0, 2, 18)
    assert minutes.silent() == 10


def test_availability_counts_5xx_timeouts_and_bad_probes_of_authenticated_requests(tmp_path: Path) -> None:
    write_requests(tmp_path, [
        answers(START, 50), answers(START, 3, status=503), answers(START, 5, status=404), answers(START, 2, timeouts=2),
        answers(START, 7, plan="free"), answers(START, 4, plan="unknown"), answers(START, 90, plan="none", status=401),
        answers(START, 60, plan="prober"), probe(START), probe(START, 1, status=429),
        probe(START, 2, status=202, timeouts=1),
    ])  # fmt: skip
    assert _buckets(tmp_path, "availability-pro", "pro", 1) == [(0, 50 + 5 + 1, 3 + 2 + 2)]
    assert _buckets(tmp_path, "availability", "free", 1) == [(0, 7 + 1, 2)]
    assert _buckets(tmp_path, "availability", "all", 1) == [(0, 50 + 5 + 7 + 4 + 1, 3 + 2 + 2)]


def test_availability_is_what_the_invoices_sla_credit_rests_on(tmp_path: Path) -> None:
    rows = [answers(START + m, 10 + m, status=(200, 404, 503)[m % 3], plan=("pro", "free")[m % 2]) for m in range(30)]
    write_requests(tmp_path, [*rows, *(probe(START + m, status=(200, 0, 500)[m % 3]) for m in range(30))])
    count = _minutes(tmp_path, "availability-pro", "pro", 30).last(30)
    with Warehouse(tmp_path) as warehouse:
        told = warehouse.rows("availability", first_ms=START * 60_000, after_ms=(START + 30) * 60_000)
    ours = [row for row in told if row["source"] == "prober" or row["plan"] == "pro"]
    assert (count.good, count.total) == (sum(row["good"] for row in ours), sum(row["total"] for row in ours))


def test_latency_is_that_of_callers_answered_by_a_2xx(tmp_path: Path) -> None:
    write_requests(tmp_path, [
        answers(START, 100, within=90, slow=97), answers(START, 50, status=503), answers(START, 30, status=404),
        answers(START, 9, plan="prober"), probe(START), answers(START + 1, 5, status=404),
    ])  # fmt: skip
    assert _buckets(tmp_path, "latency-300ms", "pro", 2) == [(0, 90, 10)]
    assert _buckets(tmp_path, "latency-500ms", "all", 2) == [(0, 97, 3)], "a minute without a 2xx is unknown"


@pytest.mark.parametrize(
    ("slo", "accepted", "times", "found"),
    [
        pytest.param("start", 50, {"processing": 80}, [(1, 1, 0)], id="on the second is in time, in its own minute"),
        pytest.param("start", 50, {"processing": 80.001}, [(1, 0, 1)], id="late is bad when the time was over"),
        pytest.param("start", 50, {"processing": 400}, [(1, 0, 1)], id="later than late is no worse"),
        pytest.param("start", 50, {}, [(1, 0, 1)], id="never started is bad while nothing happens"),
        pytest.param("start", 580, {}, [], id="nothing is judged before its time is over"),
        pytest.param("start", 0, {"completed": 10}, [(0, 1, 0)], id="ended too quickly to be told has started"),
        pytest.param("start", 0, {"cancelled": 10}, [], id="cancelled while it waited in time does not count"),
        pytest.param("start", 0, {"cancelled": 30}, [], id="cancelled on the second is in time"),
        pytest.param("start", 0, {"cancelled": 31}, [(0, 0, 1)], id="cancelled after it waited too long is bad"),
        pytest.param("confirmation", 0, {"completed": 10, "confirmed": 70}, [(1, 1, 0)], id="final in time"),
        pytest.param("confirmation", 0, {"completed": 10, "confirmed": 71}, [(1, 0, 1)], id="final too late"),
        pytest.param("confirmation", 0, {"completed": 10}, [(1, 0, 1)], id="never final is bad a minute later"),
        pytest.param("confirmation", 0, {"failed": 10, "confirmed": 300}, [], id="failed jobs are not waited for"),
        pytest.param("job-success", 0, {"processing": 1, "completed": 61}, [(1, 1, 0)], id="completed"),
        pytest.param("job-success", 0, {"failed": 61}, [(1, 0, 1)], id="failed"),
        pytest.param("job-success", 0, {"processing": 1}, [], id="what runs is neither"),
        pytest.param("job-success", 0, {"cancelled": 9}, [], id="what was cancelled is neither"),
        pytest.param("job-duration", 0, {"completed": 300}, [(5, 1, 0)], id="ended within five minutes"),
        pytest.param("job-duration", 0, {"processing": 1}, [(5, 0, 1)], id="still running after five minutes"),
    ],
)  # fmt: skip
def test_jobs_are_judged_in_the_minute_in_which_it_is_known(
    tmp_path: Path, slo: str, accepted: float, times: dict[str, float], found: Buckets
) -> None:
    jobs = Jobs()
    jobs.add(accepted, **times)
    jobs.add(0, tenant="prober", plan="free", processing=1, completed=2, confirmed=3)
    jobs.add(0, tenant="operations", plan="enterprise", failed=2)
    jobs.save(tmp_path)
    assert _buckets(tmp_path, slo, "pro", 10) == found
    assert _buckets(tmp_path, slo, "all", 10) == found, "the platform's own tenants do not count"


def test_times_of_ones_own_are_counted_beside_those_that_ship(tmp_path: Path) -> None:
    jobs = Jobs()
    for number in range(10):
        jobs.add(0, processing=number * 5.0)
    jobs.save(tmp_path)
    shipped = objective("start", "pro")
    own = shipped._replace(slo="quick", indicator=Indicator("start", 10_000))
    with Warehouse(tmp_path) as warehouse:
        found = minutes_of(warehouse, [shipped, own], START + 1)
    assert {i.name: (sum(m.good), sum(m.bad)) for (i, _), m in found.items()} == {
        "start-30s": (7, 3),
        "start-10s": (3, 7),
    }


def test_what_the_client_is_to_blame_for_is_no_failure_of_ours(tmp_path: Path) -> None:
    jobs = Jobs()
    jobs.add(0, failed=5, charge="charged")
    jobs.add(0, failed=5)
    jobs.add(0, completed=5)
    jobs.save(tmp_path)
    assert _buckets(tmp_path, "job-success", "pro", 1) == [(0, 1, 1)]


def test_a_log_that_grows_says_the_same_of_the_past(tmp_path: Path) -> None:
    early, late = Jobs(), Jobs()
    for jobs in (early, late):
        for number in range(40):
            times = {"processing": 7.0 * number + (3, 45)[number % 2], "completed": 7.0 * number + 60 + number}
            jobs.add(7.0 * number, **{k: at for k, at in times.items() if jobs is late or at < 300})
    early.rows = [row for row in early.rows if row["time"] < START * 60_000 + 300_000]
    early.save(tmp_path / "early")
    late.save(tmp_path / "late")
    for slo in ("start", "confirmation", "job-success", "job-duration"):
        found = _buckets(tmp_path / "late", slo, "pro", 5)
        assert found == _buckets(tmp_path / "early", slo, "pro", 5)
    assert _buckets(tmp_path / "late", "start", "pro", 5)


def test_the_history_begins_with_the_log_that_an_indicator_is_counted_from(tmp_path: Path) -> None:
    write_requests(tmp_path, [answers(START + 30, 10)])
    jobs = Jobs()
    jobs.add(0, completed=5)
    jobs.save(tmp_path)
    assert _minutes(tmp_path, "availability-pro", "pro", 60).since == START + 30
    assert _minutes(tmp_path, "job-success", "pro", 60).since == START
    with Warehouse(tmp_path) as warehouse:
        span = span_of(warehouse)
    assert span.until_ms == (START + 30) * 60_000 + 1_000


def test_an_empty_log_has_no_history(tmp_path: Path) -> None:
    minutes = _minutes(tmp_path, "availability", "all", 60)
    assert minutes.last(43_200) == (0, 0, 0, 0)


SECONDS = st.one_of(st.sampled_from([0, 29, 30, 31, 60, 61, 300, 301]), st.integers(0, 900))
JOB = st.fixed_dictionaries(
    {"accepted": st.integers(0, 600), "plan": st.sampled_from(["pro", "free"])},
    optional={"processing": SECONDS, "end": st.tuples(st.sampled_from(["completed", "failed", "cancelled"]), SECONDS),
              "confirmed": SECONDS, "charge": st.just("charged")},
)  # fmt: skip
LIMITS = {"start": 30, "confirmation": 60, "job-duration": 300}


def _judged(job: dict[str, Any], slo: str, until: int) -> tuple[int, bool] | None:
    """The reference: the second in which a job counts, and whether it is good; None where it does not count by then."""
    kind, ended = job.get("end", ("", None))
    ended = None if ended is None else job["accepted"] + ended
    begun = job["accepted"] + job["processing"] if "processing" in job else None
    if begun is None and kind in ("completed", "failed"):
        begun = ended
    moments = {"start": begun, "job-duration": ended, "confirmation": None}
    if kind == "completed" and "confirmed" in job:
        moments["confirmation"] = ended + job["confirmed"]
    if slo == "job-success":
        bad = kind == "failed" and job.get("charge") != "charged"
        return (ended, kind == "completed") if (kind == "completed" or bad) and ended < until else None
    if slo == "confirmation" and (kind != "completed" or ended >= until):
        return None
    due = LIMITS[slo] + (ended if slo == "confirmation" else job["accepted"])
    came = moments[slo]
    if came is not None and came <= due:
        return (came, True) if came < until else None
    if slo == "start" and begun is None and kind == "cancelled" and ended <= due:
        return None
    return (due, False) if due < until else None


@settings(max_examples=25, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(st.lists(JOB, min_size=1, max_size=40), st.integers(1, 25))
def test_jobs_are_judged_as_a_slow_reference_judges_them(listed: list[dict[str, Any]], after: int) -> None:
    jobs = Jobs()
    for job in listed:
        at, told = job["accepted"], {}
        if "end" in job and job.get("processing", 0) > job["end"][1]:
            del job["processing"]  # nothing starts after its end
        if "processing" in job:
            told["processing"] = at + job["processing"]
        if "end" in job:
            told[job["end"][0]] = at + job["end"][1]
            if "confirmed" in job:
                told["confirmed"] = at + job["end"][1] + job["confirmed"]
        jobs.add(at, plan=job["plan"], charge=job.get("charge", "released"), **told)
    chosen = [objective(slo, plan) for slo in ("start", "confirmation", "job-success", "job-duration")
              for plan in ("pro", "all")]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        jobs.save(Path(folder))
        with Warehouse(Path(folder)) as warehouse:
            found = minutes_of(warehouse, chosen, START + after)
    for one in chosen:
        expected: dict[int, list[int]] = {}
        for job in listed:
            judged = _judged(job, one.slo, after * 60) if one.plan in (job["plan"], "all") else None
            if judged is not None:
                expected.setdefault(START + judged[0] // 60, [0, 0])[not judged[1]] += 1
        minutes = found[one.indicator, one.plan]
        told = {at: [good, bad] for at, good, bad in zip(minutes.at, minutes.good, minutes.bad, strict=True)}
        assert told == expected, one.slo
