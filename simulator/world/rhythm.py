"""When a tenant calls, and with what: the requests of one tenant's day, from a seed. Pure."""

from __future__ import annotations

import datetime as dt
import math
import random
from typing import NamedTuple

from simulator.world.population import BULK_MOST, LARGE_BYTES, TYPES, Company, Habit
from zjops.domain.jobs import JobType

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
GROWTH_A_DAY = 0.003
"""By so much each day is busier than the one before."""
WEEKDAY = {Habit.OFFICE: (1.25, 0.375), Habit.STEADY: (1.08, 0.8), Habit.NIGHTLY: (1.0, 1.0)}
"""How busy a weekday and a day of the weekend are; a week sums to seven."""
HOURS = (1, 1, 1, 1, 1, 2, 4, 9, 18, 26, 30, 28, 20, 24, 30, 29, 26, 20, 12, 8, 6, 4, 3, 2)
"""Weights of the local hours of a day that people make."""
NIGHT = (22, 23, 0, 1, 2, 3, 4)
RUN_EVERY_MS = 10 * MINUTE_MS
"""A night's run is submitted in parts, this far from each other."""
SCHEDULED_MS = 120
"""Schedules fire together at the full minute, and arrive a little later."""
DURATIONS_MS = (20, 40, 80, 120, 180, 270, 390, 560, 820, 1200, 1800, 2700, 3900, 5600, 8200, 12_000, 18_000, 27_000)
"""What jobs take; one request's jobs all take the same."""
USUAL = {JobType.COMPUTE_HEAVY: 10, JobType.DATA_PROCESSING: 4, JobType.ML_INFERENCE: 2}
"""Which of them a type's jobs take most often."""
FAILURES = (("failed", 0.04, 0.06), ("client_fault", 0.03, 0.08), ("retry", 0.015, 0.25))
"""Kinds of failure: in which share of the requests they can happen, and to which share of their jobs."""


class Request(NamedTuple):
    """One call: `jobs` jobs of a type, all of one duration. `failure` is a kind with its probability.

    `at_ms` is Unix ms; `number` tells the requests of a tenant's day apart; `large` is the size of large bodies, or 0.
    """

    at_ms: int
    tenant: str
    number: int
    jobs: int
    job_type: JobType
    duration_ms: int
    priority: int
    failure: tuple[str, float] | None
    large: int


def requests_of_day(company: Company, seed: int, day: int, day_ms: int) -> list[Request]:
    """What a tenant asks for on a day that begins at `day_ms` (Unix ms), in no order."""
    source = random.Random(f"{seed}/{company.tenant}/{day}")  # noqa: S311 - a seed's world, no secret
    weekend = dt.datetime.fromtimestamp(day_ms // 1000, dt.UTC).weekday() >= 5
    jobs = company.jobs_a_day * WEEKDAY[company.habit][weekend] * (1 + GROWTH_A_DAY) ** day
    if company.habit is Habit.OFFICE:
        calls = _office(company, source, jobs, day_ms)
    elif company.habit is Habit.STEADY:
        calls = _steady(company, source, jobs, day_ms)
    else:
        calls = _nightly(company, source, jobs, day_ms)
    return [_request(company, source, number, at, count) for number, (at, count) in enumerate(calls)]


def _office(company: Company, source: random.Random, jobs: float, day_ms: int) -> list[tuple[int, int]]:
    calls: list[tuple[int, int]] = []
    for _ in range(poisson(source, jobs / company.bulk)):
        hour = source.choices(range(24), HOURS)[0] - company.zone
        at = day_ms + (hour % 24) * HOUR_MS + source.randrange(3600) * 1000 + source.randrange(1, 1000)
        calls.append((at, _count(source, company.bulk)))
    return calls


def _steady(company: Company, source: random.Random, jobs: float, day_ms: int) -> list[tuple[int, int]]:
    step = DAY_MS // company.runs
    first = day_ms + company.minute * MINUTE_MS % step + SCHEDULED_MS
    counts = [min(BULK_MOST, poisson(source, jobs / company.runs)) for _ in range(company.runs)]
    return [(first + run * step, count) for run, count in enumerate(counts) if count]


def _nightly(company: Company, source: random.Random, jobs: float, day_ms: int) -> list[tuple[int, int]]:
    left, at = poisson(source, jobs), day_ms + SCHEDULED_MS
    at += (NIGHT[company.minute % len(NIGHT)] - company.zone) % 24 * HOUR_MS
    calls: list[tuple[int, int]] = []
    while left > 0:
        calls.append((at, min(left, BULK_MOST)))
        left, at = left - BULK_MOST, at + RUN_EVERY_MS
    return calls


def _count(source: random.Random, bulk: int) -> int:
    return min(BULK_MOST, max(1, round(source.expovariate(1 / bulk) + 0.3)))


def _request(company: Company, source: random.Random, number: int, at_ms: int, count: int) -> Request:
    job_type = source.choices(TYPES, company.types)[0]
    place = round(source.gauss(USUAL[job_type], 1.7))
    duration = DURATIONS_MS[min(max(place, 0), len(DURATIONS_MS) - 1)]
    large = source.choice(LARGE_BYTES) if company.large and source.random() < company.large else 0
    priority = source.choices((9, 5, 1), (1, 7, 2))[0]
    return Request(
        at_ms, company.tenant, number, count, job_type, duration, priority, _failure(source), large
    )  # fmt: skip


def _failure(source: random.Random) -> tuple[str, float] | None:
    drawn = source.random()
    for kind, share, chance in FAILURES:
        if drawn < share:
            return kind, chance
        drawn -= share
    return None


def poisson(source: random.Random, mean: float) -> int:
    """A Poisson draw: counted out while small, by its normal limit from 30 on."""
    if mean >= 30:
        return max(0, round(source.gauss(mean, math.sqrt(mean))))
    least, product, count = math.exp(-mean), source.random(), 0
    while product > least:
        product *= source.random()
        count += 1
    return count
