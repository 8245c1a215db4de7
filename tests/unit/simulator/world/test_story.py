"""Who the synthetic tenants are, when they call, and what happens to them: pure rules from a seed."""

from __future__ import annotations

import random
import statistics
from collections import Counter

import pytest

from simulator.world.front import split
from simulator.world.population import BULK_MOST, TENANTS_LEAST, plans_of, population
from simulator.world.rhythm import DAY_MS, MINUTE_MS, poisson, requests_of_day
from simulator.world.story import QUIET_MS, Kind, Span, incident_of, longest_month, tell
from zjops.domain.clock import parse_rfc3339
from zjops.domain.plans import price_book

MONDAY_MS = parse_rfc3339("2026-08-31T00:00:00Z")
SPANS = [Span(MONDAY_MS, days) for days in (1, 2, 7, 30, 90)]


@pytest.mark.parametrize("tenants", [TENANTS_LEAST, 24, 200, 2_000])
def test_every_plan_has_tenants_with_names_of_their_own(tenants: int) -> None:
    companies = population(3, tenants, 35.0 * tenants)
    assert len({one.tenant for one in companies}) == tenants
    assert {one.plan for one in companies} == set(price_book().plans)
    assert Counter(one.plan for one in companies) == Counter(plans_of(tenants))
    assert all(1 <= one.bulk <= BULK_MOST for one in companies)


@pytest.mark.parametrize("seed", range(5))
def test_together_they_ask_for_what_was_asked(seed: int) -> None:
    companies = population(seed, 200, 7_000.0)
    paid = sum(one.jobs_a_day for one in companies if one.plan != "free")
    free = sum(one.jobs_a_day for one in companies if one.plan == "free")
    assert paid + 5.0 * 110 == pytest.approx(7_000.0)
    assert free == pytest.approx(5.0 * 110, rel=0.25)


def test_the_same_seed_draws_the_same_and_another_one_does_not() -> None:
    one = [population(seed, 30, 900.0) for seed in (1, 1, 2)]
    assert one[0] == one[1] != one[2]
    days = [requests_of_day(one[0][0], seed, 4, MONDAY_MS) for seed in (1, 1, 2)]
    assert days[0] == days[1] != days[2]


def test_a_week_has_its_rhythm_and_its_total() -> None:
    """Over many weeks a tenant submits what it means to; offices hardly work at weekends."""
    companies = population(5, 200, 7_000.0)
    jobs: dict[bool, list[int]] = {False: [], True: []}
    total = 0
    for day in range(7):
        for one in companies:
            count = sum(r.jobs for r in requests_of_day(one, 5, day, MONDAY_MS + day * DAY_MS))
            total += count
            if one.habit == "office":
                jobs[day >= 5].append(count)
    assert total == pytest.approx(7 * 7_000, rel=0.08)
    assert statistics.mean(jobs[True]) < 0.5 * statistics.mean(jobs[False])


def test_requests_lie_in_their_day_or_in_the_night_that_follows() -> None:
    for one in population(6, 100, 3_500.0):
        for request in requests_of_day(one, 6, 0, MONDAY_MS):
            assert MONDAY_MS <= request.at_ms < MONDAY_MS + 2 * DAY_MS
            assert 1 <= request.jobs <= BULK_MOST


@pytest.mark.parametrize("mean", [0.2, 3.0, 29.9, 30.0, 400.0])
def test_poisson_has_its_mean_and_its_variance(mean: float) -> None:
    source = random.Random(8)
    drawn = [poisson(source, mean) for _ in range(20_000)]
    assert statistics.mean(drawn) == pytest.approx(mean, rel=0.05)
    assert statistics.variance(drawn) == pytest.approx(mean, rel=0.08)


@pytest.mark.parametrize("span", SPANS, ids=lambda span: f"{span.days} days")
def test_everything_happens_within_the_span_and_every_kind_of_act_once_at_least(span: Span) -> None:
    story = tell(population(7, 24, 840.0), span)
    away, back, working = incident_of(span)
    assert span.start_ms < away < back < working < span.last_ms
    assert all(span.start_ms <= act.at_ms < span.end_ms - QUIET_MS for act in story.acts)
    assert story.acts == sorted(story.acts, key=lambda act: act.at_ms)
    assert {act.kind for act in story.acts} == set(Kind)


@pytest.mark.parametrize("days", [1, 2, 3, 7])
def test_no_operator_acts_while_the_store_is_away_whenever_the_span_begins(days: int) -> None:
    """What was 15:40 of a day and what was cut to the end of the span once met in the outage."""
    companies = population(7, 24, 840.0)
    for minute in range(0, 24 * 60, 5):
        span = Span(MONDAY_MS + minute * MINUTE_MS, days)
        away, back, _ = incident_of(span)
        asked = [act for act in tell(companies, span).acts if act.kind in (Kind.CHANGE, Kind.CREDIT)]
        assert len(asked) == 3
        assert [act for act in asked if away <= act.at_ms <= back] == []


def test_the_abuser_and_its_second_account_are_on_the_same_front() -> None:
    story = tell(population(7, 60, 2_100.0), SPANS[3])
    together = [story.cast["abuser"], story.cast["double"]]
    parts = split(story.companies, story.acts, 2, together)
    for companies, acts in parts:
        names = {one.tenant for one in companies}
        assert len(names & set(together)) in (0, 2)
        assert all(not act.tenant or act.tenant in names for act in acts)
    assert sorted(one.tenant for companies, _ in parts for one in companies) == sorted(
        one.tenant for one in story.companies
    )
    loads = [sum(one.jobs_a_day for one in companies) for companies, _ in parts]
    assert max(loads) < 1.3 * min(loads)


def test_the_month_of_a_span_is_the_one_it_has_most_of() -> None:
    assert longest_month(Span(parse_rfc3339("2026-10-20T07:31:00Z"), 30)) == (
        "2026-11",
        pytest.approx(18.3132, abs=1e-3),
    )
