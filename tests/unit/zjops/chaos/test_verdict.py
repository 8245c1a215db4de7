"""Before, during and after, how soon it was noticed and over, what it cost, and what is thought of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.chaos.verdict import Findings, Second, decide, spent, times, windows
from zjops.chaos.watching import Sample

BEGAN, HEALED = 10_000, 20_000


def _good(at_s: int) -> Second:
    return Second(at_s * 1000, 10, 10, p50_ms=5.0, p99_ms=20.0, max_ms=30.0)


def _seconds(until_s: int, **bad: Second) -> list[Second]:
    by_time = {second.at_ms: second for second in bad.values()}
    return [by_time.get(at * 1000, _good(at)) for at in range(until_s)]


def test_a_fault_that_nobody_feels_was_not_noticed_and_is_over_when_it_is_healed() -> None:
    at = times(_seconds(30), [], BEGAN, HEALED)
    assert (at.to_notice_s, at.to_heal_s, at.to_recover_s) == (None, 10.0, 0.0)


def test_what_failed_in_a_second_was_noticed_at_its_end() -> None:
    at = times(_seconds(30, a=Second(12_000, 10, 7, errors=3)), [], BEGAN, HEALED)
    assert (at.to_notice_s, at.noticed_by) == (3.0, "3 of 10 requests failed")


def test_a_process_that_does_not_answer_is_noticed_at_once() -> None:
    samples = [Sample(ms, away=("api",) if 10_250 <= ms < 12_000 else ()) for ms in range(8_000, 30_000, 250)]
    at = times(_seconds(30), samples, BEGAN, HEALED)
    assert (at.to_notice_s, at.noticed_by) == (0.25, "api does not answer")


def test_recovered_is_when_the_last_trouble_was_over() -> None:
    late = {f"s{at}": Second(at * 1000, 10, 10, p50_ms=5.0, p99_ms=900.0, max_ms=950.0) for at in range(18, 24)}
    at = times(_seconds(40, **late), [], BEGAN, HEALED)
    assert at.to_recover_s == 4.0
    assert at.noticed_by == "requests took 900 ms"


def test_trouble_to_the_end_is_no_recovery() -> None:
    late = {"s29": Second(29_000, 10, 5, timeouts=5)}
    assert times(_seconds(30, **late), [], BEGAN, HEALED).recovered_ms is None


def test_slow_is_judged_by_how_quick_it_was_before() -> None:
    # Quick: 20 ms, so that five times that, but at least 100 ms, is felt.
    felt = {"s12": Second(12_000, 10, 10, p50_ms=5.0, p99_ms=101.0, max_ms=101.0)}
    assert times(_seconds(30, **felt), [], BEGAN, HEALED).noticed_by == "requests took 101 ms"
    fine = {"s12": Second(12_000, 10, 10, p50_ms=5.0, p99_ms=99.0, max_ms=99.0)}
    assert times(_seconds(30, **fine), [], BEGAN, HEALED).noticed_by is None


def test_the_three_windows_hold_every_second_once() -> None:
    seconds = _seconds(30, a=Second(12_000, 10, 4, shed=6))
    at = times(seconds, [], BEGAN, HEALED)
    before, during, after = windows(seconds, [Sample(15_000, away=("meter",), active_jobs=7)], at)
    assert [one.seconds for one in (before, during, after)] == [10, 10, 10]
    assert sum(one.offered for one in (before, during, after)) == 300
    assert (during.shed, during.away, during.active_jobs) == (6, ("meter",), 7)
    assert (before.shed, after.shed) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500)), min_size=1, max_size=50), st.integers(1, 999_999)
)  # fmt: skip
def test_what_was_spent_is_the_share_of_a_month_at_the_same_rate(rows: list[tuple[int, int]], target: int) -> None:
    seconds = [Second(at * 1000, total, server_errors=min(bad, total)) for at, (total, bad) in enumerate(rows)]
    found = spent(seconds, target)
    rate = sum(one.offered for one in seconds) / len(seconds)
    expected = sum(one.server_errors for one in seconds) / (rate * 30 * 86_400 * (1_000_000 - target) / 1e6) * 1e6
    assert found.month_ppm == pytest.approx(expected, abs=1.0)


def test_what_was_refused_for_the_client_s_own_sake_is_not_spent() -> None:
    assert spent([Second(0, 10, 2, shed=5, errors=2, timeouts=1, server_errors=3)], 999_000).bad == 4


GOOD = Findings(True, True, True, True, True, True)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (GOOD, "pass"),
        (GOOD._replace(audit_ok=False, steady_before=False), "broken"),
        (GOOD._replace(steady_before=False, steady_after=False), "cannot tell"),
        (GOOD._replace(healed=False), "fail"),
        (GOOD._replace(acted=False), "fail"),
        (GOOD._replace(steady_after=False), "fail"),
        (GOOD._replace(recovered=False), "fail"),
        (GOOD._replace(audit_ok=None), "cannot tell"),
        (GOOD._replace(other_load=("dropped",)), "cannot tell"),
        (GOOD._replace(other_load=("dropped",), healed=False), "cannot tell"),
        (GOOD._replace(other_load=("dropped",), audit_ok=False), "broken"),
        (GOOD._replace(slow=("lag",)), "cannot tell"),
        (GOOD._replace(slow=("lag",), recovered=False), "cannot tell"),
        (GOOD._replace(slow=("lag",), healed=False), "fail"),
    ],
    ids=["all holds", "an audit that found something counts first", "not steady before", "not healed", "a step failed",
         "not steady after", "trouble at the end", "no audit", "another load", "another load and not healed",
         "another load, and jobs are lost", "a slow generator", "a slow generator and trouble at the end",
         "a slow generator, and not healed all the same"],
)  # fmt: skip
def test_the_verdict(found: Findings, verdict: str) -> None:
    assert decide(found)[0] == verdict
