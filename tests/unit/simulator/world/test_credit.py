"""The story of a synthetic span: what happens follows from what happened before, however short the span is."""

from __future__ import annotations

import pytest

from simulator.world.population import Habit, population
from simulator.world.rhythm import DAY_MS, HOUR_MS, requests_of_day
from simulator.world.story import Act, Kind, Span, tell

A_TUESDAY_MS = 1_788_220_800_000
"""Midnight UTC of 2026-09-01."""
SPANS = [
    pytest.param(Span(A_TUESDAY_MS + day * DAY_MS + hour * HOUR_MS, days), id=f"{days} days from day {day}, {hour} h")
    for days in (1, 2, 3, 7, 30, 60)
    for day in range(7)
    for hour in (0, 13, 23)
]


def _acts(span: Span) -> dict[Kind, list[Act]]:
    found: dict[Kind, list[Act]] = {}
    for act in tell(population(seed=7, tenants=10, jobs_a_day=350.0), span).acts:
        found.setdefault(act.kind, []).append(act)
    return found


@pytest.mark.parametrize("span", SPANS)
def test_the_credit_for_the_incident_comes_when_it_is_over(span: Span) -> None:
    acts = _acts(span)
    (away,), (back,), (working,), (credit,) = (
        acts[kind] for kind in (Kind.STORE_AWAY, Kind.STORE_BACK, Kind.WORKERS_START, Kind.CREDIT)
    )
    assert credit.values["reason"] == "for the incident"
    assert span.start_ms < away.at_ms < back.at_ms < working.at_ms < credit.at_ms < span.last_ms


@pytest.mark.parametrize("span", SPANS)
def test_everything_is_asked_before_the_quiet_last_hour(span: Span) -> None:
    assert all(span.start_ms < act.at_ms <= span.last_ms for of in _acts(span).values() for act in of)


@pytest.mark.parametrize("seed", range(1, 13))
@pytest.mark.parametrize("tenants", [24, 200])
@pytest.mark.parametrize(
    "span", [Span(A_TUESDAY_MS, 7), Span(A_TUESDAY_MS + 13 * HOUR_MS, 30)], ids=["a week", "30 days"]
)
def test_the_credit_goes_to_someone_whom_the_incident_delays_if_a_schedule_is_delayed(
    span: Span, tenants: int, seed: int
) -> None:
    companies = population(seed=seed, tenants=tenants, jobs_a_day=35.0 * tenants)
    story = tell(companies, span)
    moments = {act.kind: act.at_ms for act in story.acts}
    since, until = moments[Kind.STORE_BACK], moments[Kind.WORKERS_START]
    day = (since - span.start_ms) // DAY_MS
    delayed = {
        one.tenant
        for one in companies
        if one.plan != "free" and one.habit is Habit.STEADY
        for asked in requests_of_day(one, seed, day, span.start_ms + day * DAY_MS)
        if since <= asked.at_ms < until
    }
    assert delayed or tenants < 200, "among so many there is somebody"
    assert story.cast["credit"] in (delayed or {companies[0].tenant})
    (credit,) = (act for act in story.acts if act.kind is Kind.CREDIT)
    assert credit.tenant == story.cast["credit"]
    assert 0 < credit.values["amountMicrousd"] <= 250_000_000
