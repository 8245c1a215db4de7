"""Budget, burn and outlook against a slow reference, minute by minute in fractions, and the published table."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zjops.slo.budget import Budget, Forecast, Outlook, Policy, budget_of, forecast
from zjops.slo.burn import Burning, burns_of
from zjops.slo.catalogue import objectives_of
from zjops.slo.minutes import Count, Minutes
from zjops.slo.model import MILLION, Objective, Pair

NOW = 29_000_000
DAYS_30 = 43_200
Log = dict[int, tuple[int, int]]


def _sum(log: Log, first: int, after: int) -> tuple[int, int]:
    """The reference: good and bad of the minutes from `first` to before `after`, one by one."""
    good = bad = 0
    for minute in range(first, after):
        g, b = log.get(minute, (0, 0))
        good, bad = good + g, bad + b
    return good, bad


def _burn(log: Log, window: int, target: Fraction) -> Fraction | None:
    good, bad = _sum(log, NOW - window, NOW)
    return Fraction(bad, good + bad) / (1 - target) if good + bad else None


def _left(good: int | Fraction, bad: int | Fraction, target: Fraction) -> Fraction:
    return (good + bad) * (1 - target) - bad


def _empty_in(log: Log, period: int, target: Fraction) -> Forecast:
    """The reference: play the last hour on, minute by minute, and let what is too old leave."""
    good, bad = _sum(log, NOW - period, NOW)
    if good + bad and _left(good, bad, target) <= 0:
        return Forecast(Outlook.EMPTY)
    hour_good, hour_bad = _sum(log, NOW - 60, NOW)
    if hour_good + hour_bad < 100:
        return Forecast(Outlook.TOO_FEW)
    for later in range(1, period + 1):
        old_good, old_bad = _sum(log, NOW - period + later - 1, NOW - period + later)
        good, bad = good - old_good, bad - old_bad
        now_good, now_bad = good + Fraction(hour_good * later, 60), bad + Fraction(hour_bad * later, 60)
        if _left(now_good, now_bad, target) <= 0:
            return Forecast(Outlook.AT, later)
    return Forecast(Outlook.NEVER)


def _minutes(log: Log, since: int) -> Minutes:
    return Minutes([(minute, g, b) for minute, (g, b) in sorted(log.items())], since, NOW)


PERIOD = 300
TARGETS = st.integers(1, MILLION - 1)
EVENTS = st.tuples(st.integers(0, 60), st.one_of(st.just(0), st.integers(0, 20)))
LOGS = st.dictionaries(st.integers(NOW - 2 * PERIOD, NOW - 1), EVENTS, max_size=120)


@settings(deadline=None)
@given(LOGS, TARGETS, st.integers(NOW - 2 * PERIOD, NOW))
def test_budget_and_policy_are_those_of_the_reference(log: Log, target_ppm: int, since: int) -> None:
    held = {minute: events for minute, events in log.items() if minute >= since}
    found = budget_of(_minutes(log, since), MILLION - target_ppm, PERIOD)
    target = Fraction(target_ppm, MILLION)
    good, bad = _sum(held, NOW - PERIOD, NOW)
    left = _left(good, bad, target)
    assert (found.counted.good, found.counted.bad) == (good, bad)
    assert found.left_micro == left * MILLION
    assert found.left == left // 1
    assert found.counted.unknown == sum(
        sum(held.get(minute, (0, 0))) == 0 for minute in range(max(since, NOW - PERIOD), NOW)
    )
    if since > NOW - PERIOD or not good + bad:
        assert found.policy is None
        return
    share = left / ((good + bad) * (1 - target))
    assert found.left_ppm == share * MILLION // 1
    expected = (
        Policy.FULL_FREEZE if share <= 0
        else Policy.FREEZE if share < Fraction(1, 4)
        else Policy.SLOW if share <= Fraction(1, 2)
        else Policy.HEALTHY
    )  # fmt: skip
    assert found.policy is expected


@settings(deadline=None)
@given(LOGS, TARGETS, st.integers(1, 1000), st.integers(2, PERIOD), st.integers(1, PERIOD))
def test_burn_rates_are_those_of_the_reference(log: Log, target_ppm: int, tenths: int, long: int, short: int) -> None:
    pair = Pair("p", tenths, long, min(short, long), "page")
    (found,) = burns_of(_minutes(log, NOW - 2 * PERIOD), MILLION - target_ppm, (pair,))
    target = Fraction(target_ppm, MILLION)
    rates = [_burn(log, window, target) for window in (pair.long_minutes, pair.short_minutes)]
    for rate, millis in zip(rates, (found.long_millis, found.short_millis), strict=True):
        assert millis == (None if rate is None else rate * 1000 // 1)
    enough = sum(_sum(log, NOW - pair.long_minutes, NOW)) >= 100 and sum(_sum(log, NOW - pair.short_minutes, NOW)) >= 10
    if not enough:
        assert found.state is Burning.TOO_FEW
    else:
        firing = all(rate is not None and rate > Fraction(tenths, 10) for rate in rates)
        assert found.state is (Burning.FIRING if firing else Burning.QUIET)


@settings(max_examples=300, deadline=None)
@given(
    LOGS,
    st.one_of(TARGETS, st.integers(700_000, 999_000)),
    st.tuples(st.integers(0, 5), st.integers(0, 2)),
)
def test_the_outlook_is_that_of_the_reference(log: Log, target_ppm: int, lately: tuple[int, int]) -> None:
    log = log | {minute: lately for minute in range(NOW - 60, NOW) if sum(lately)}
    found = forecast(_minutes(log, NOW - 2 * PERIOD), MILLION - target_ppm, PERIOD)
    assert found == _empty_in(log, PERIOD, Fraction(target_ppm, MILLION))


PUBLISHED = [(144, 60, 5, 2), (60, 360, 30, 5), (30, 1440, 120, 10), (10, 4320, 360, 10)]
"""The SRE workbook's table for 30 days: factor in tenths, windows in minutes, percent of the budget."""


def _shipped(slo: str, plan: str) -> Objective:
    return next(one for one in objectives_of() if (one.slo, one.plan) == (slo, plan))


@pytest.mark.parametrize("row", range(4), ids=["14.4 an hour", "6 over 6 hours", "3 over a day", "1 over 3 days"])
def test_a_published_rate_spends_the_published_share_of_the_budget(row: int) -> None:
    tenths, long, short, percent = PUBLISHED[row]
    one = _shipped("availability", "all")
    pair = one.pairs[row]
    assert (pair.factor_tenths, pair.long_minutes, pair.short_minutes) == (tenths, long, short)
    # 10,000 requests a minute; bad ones so that the budget of 0.1 % burns at exactly the factor.
    bad = 10_000 * one.budget_ppm * tenths // 10 // MILLION
    burning = dict.fromkeys(range(NOW - long, NOW), (10000 - bad, bad))
    calm = dict.fromkeys(range(NOW - DAYS_30, NOW - long), (10000, 0))
    minutes = _minutes(calm | burning, NOW - DAYS_30)
    budget = budget_of(minutes, one.budget_ppm, one.period_minutes)
    assert budget.left_ppm == (100 - percent) * MILLION // 100
    burn = burns_of(minutes, one.budget_ppm, one.pairs)[row]
    assert (burn.long_millis, burn.short_millis) == (tenths * 100, tenths * 100)
    assert burn.state is Burning.QUIET, "the factor itself does not fire"
    worse = {minute: (good - 1, bad + 1) for minute, (good, bad) in burning.items()}
    assert burns_of(_minutes(calm | worse, NOW - DAYS_30), one.budget_ppm, one.pairs)[row].state is Burning.FIRING


def test_seven_days_scale_the_windows_as_the_ruling_says() -> None:
    pairs = _shipped("job-success", "pro").pairs
    assert [pair.long_minutes for pair in pairs] == [14, 84, 336, 1008]
    assert [pair.short_minutes for pair in pairs] == [2, 7, 28, 84], "of 70 s, two whole minutes"


def test_the_burn_rate_has_a_ceiling() -> None:
    """Nothing burns faster than everything being bad: 20 times for 95 %."""
    minutes = _minutes(dict.fromkeys(range(NOW - 14, NOW), (0, 10)), NOW - 20)
    assert burns_of(minutes, 50_000, _shipped("job-success", "all").pairs)[0].long_millis == 20_000


def test_the_short_window_ends_an_alert_and_the_long_one_holds_a_blip_back() -> None:
    one = _shipped("availability", "all")
    hour = dict.fromkeys(range(NOW - 60, NOW), (50, 50))
    over = hour | dict.fromkeys(range(NOW - 5, NOW), (100, 0))
    blip = dict.fromkeys(range(NOW - 60, NOW), (1000, 0)) | {NOW - 1: (940, 60)}
    states = [burns_of(_minutes(log, NOW - 60), one.budget_ppm, one.pairs)[0].state for log in (hour, over, blip)]
    assert states == [Burning.FIRING, Burning.QUIET, Burning.QUIET]


def test_the_monthly_budget_is_43_minutes_of_outage() -> None:
    budget = Budget(Count(good=999_500, bad=500, known=DAYS_30, covered=DAYS_30), 1000, DAYS_30)
    assert (budget.allowed, budget.left, budget.allowed_seconds, budget.spent_seconds) == (1000, 500, 2592, 1296)
    assert budget.policy is Policy.SLOW, "exactly a half is not above it"


@pytest.mark.parametrize(
    ("bad", "policy"),
    [(499, Policy.HEALTHY), (500, Policy.SLOW), (750, Policy.SLOW), (751, Policy.FREEZE), (999, Policy.FREEZE),
     (1000, Policy.FULL_FREEZE), (5000, Policy.FULL_FREEZE)],
)  # fmt: skip
def test_policies_change_at_the_edges_of_the_design(bad: int, policy: Policy) -> None:
    assert Budget(Count(1_000_000 - bad, bad, 1, DAYS_30), 1000, DAYS_30).policy is policy


def test_a_window_without_its_whole_history_sets_no_policy_and_says_what_it_covers() -> None:
    budget = Budget(Count(1_000_000, 0, DAYS_30 - 1, DAYS_30 - 1), 1000, DAYS_30)
    assert (budget.policy, budget.whole, budget.counted.covered) == (None, False, DAYS_30 - 1)


def test_nothing_known_is_nothing_good() -> None:
    minutes = Minutes([], NOW - DAYS_30, NOW)
    budget = budget_of(minutes, 1000, DAYS_30)
    assert (budget.left_ppm, budget.policy, budget.spent_seconds) == (None, None, None)
    assert (budget.counted.unknown, minutes.silent()) == (DAYS_30, DAYS_30)
    assert forecast(minutes, 1000, DAYS_30).outlook is Outlook.TOO_FEW
