"""Who the synthetic tenants are: plans, habits and sizes, drawn from a seed. Pure."""

from __future__ import annotations

import enum
import random
from typing import Any, NamedTuple

from zjops.domain.jobs import JobType

TENANTS_LEAST = 10
"""So few are enough for every plan and every part of the story."""
SHARES = {"enterprise": 0.03, "pro": 0.12, "starter": 0.30}
"""How many tenants of each paid plan there are; all others are on the free one."""
LEAST = {"enterprise": 1, "pro": 2, "starter": 3}
JOBS_A_DAY = {"free": 5.0, "starter": 27.0, "pro": 118.0, "enterprise": 420.0}
BULK = {"free": 3, "starter": 8, "pro": 25, "enterprise": 60}
"""How many jobs a plan's tenants submit at once, on average."""
BULK_MOST = 80
"""Below the 100 that the interface takes at once, and below the jobs that most plans may have active."""
ZONES = (-8, -5, -5, 0, 1, 1, 2, 8)
LARGE_BYTES = (300_000, 450_000, 600_000, 800_000)
"""Sizes of large bodies: above the size from which parameters travel by their digest (C17)."""
_FIRST = (
    "amber", "birch", "cedar", "delta", "ember", "fjord", "glade", "harbor", "indigo", "juniper", "kestrel", "lumen",
    "meadow", "north", "onyx", "prairie", "quartz", "river", "silver", "tundra", "umber", "vale", "willow", "zephyr",
)  # fmt: skip
_SECOND = (
    "analytics", "bank", "biotech", "capital", "cloud", "dynamics", "energy", "foods", "games", "health", "insight",
    "labs", "logistics", "media", "mobility", "optics", "research", "retail", "robotics", "systems", "travel", "works",
)  # fmt: skip


class Habit(enum.StrEnum):
    """How a tenant's jobs come: by people on weekdays, by a schedule all day, or in one run a night."""

    OFFICE = "office"
    STEADY = "steady"
    NIGHTLY = "nightly"


HABITS: dict[str, tuple[tuple[Habit, int], ...]] = {
    "free": ((Habit.OFFICE, 85), (Habit.STEADY, 15)),
    "starter": ((Habit.OFFICE, 50), (Habit.STEADY, 30), (Habit.NIGHTLY, 20)),
    "pro": ((Habit.OFFICE, 25), (Habit.STEADY, 50), (Habit.NIGHTLY, 25)),
    "enterprise": ((Habit.STEADY, 70), (Habit.NIGHTLY, 30)),
}
"""Habits of each plan's tenants with their weights."""


class Company(NamedTuple):
    """One tenant: its plan with negotiated values, and what it asks of the platform.

    `zone` is its hours from UTC, `runs` how often a day its schedule runs, `minute` when within the hour; `large` the
    share of its jobs whose bodies are large, `types` the weights of the three job types.
    """

    tenant: str
    plan: str
    overrides: dict[str, Any]
    habit: Habit
    jobs_a_day: float
    bulk: int
    zone: int
    runs: int
    minute: int
    types: tuple[int, int, int]
    large: float = 0.0


TYPES = (JobType.COMPUTE_HEAVY, JobType.DATA_PROCESSING, JobType.ML_INFERENCE)
"""The order of `Company.types`."""


def plans_of(tenants: int) -> list[str]:
    """The plan of each tenant; the first ones have the largest."""
    paid = [
        plan for plan, share in SHARES.items() for _ in range(max(LEAST[plan], round(share * tenants)))
    ]  # fmt: skip
    return paid + ["free"] * (tenants - len(paid))


def expected_jobs(tenants: int) -> tuple[float, float]:
    """Jobs a day that free tenants and those who pay ask for, before anything is scaled."""
    plans = plans_of(tenants)
    paid = sum(JOBS_A_DAY[plan] for plan in plans if plan != "free")
    return JOBS_A_DAY["free"] * plans.count("free"), paid


def population(seed: int, tenants: int, jobs_a_day: float) -> list[Company]:
    """So many tenants who together ask for about so many jobs a day.

    Free tenants keep their size: their plan's units leave no room for more.
    """
    free, paid = expected_jobs(tenants)
    scale = max(0.0, jobs_a_day - free) / paid
    source = random.Random(f"{seed}/population")  # noqa: S311 - a seed's world, no secret
    names = _names(source, tenants)
    made = [
        _company(source, name, plan, 1.0 if plan == "free" else scale)
        for name, plan in zip(names, plans_of(tenants), strict=True)
    ]
    return _level(made, paid * scale)


def _names(source: random.Random, count: int) -> list[str]:
    pairs = [f"{first}-{second}" for first in _FIRST for second in _SECOND]
    source.shuffle(pairs)
    rounds = -(-count // len(pairs))
    return [name if turn == 0 else f"{name}-{turn + 1}" for turn in range(rounds) for name in pairs][:count]


def _company(source: random.Random, name: str, plan: str, scale: float) -> Company:
    jobs = JOBS_A_DAY[plan] * scale * source.lognormvariate(-0.125, 0.5)
    kinds = HABITS[plan]
    habit = source.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
    bulk = min(BULK_MOST, max(1, round(BULK[plan] * source.uniform(0.6, 1.4))))
    types = source.choice(((5, 3, 2), (2, 6, 2), (1, 2, 7), (3, 3, 4)))
    overrides = {"overage_enabled": True} if plan == "pro" and source.random() < 0.5 else {}
    return Company(
        name, plan, overrides, habit, jobs, bulk, source.choice(ZONES), _runs(jobs, bulk),
        source.choice((0, 0, 0, 15, 30)), types,
    )  # fmt: skip


def _runs(jobs: float, bulk: int) -> int:
    """How often a day a schedule runs: a divisor of the day that leaves about `bulk` jobs a run."""
    wanted = max(1.0, jobs / bulk)
    return min((1, 2, 4, 6, 8, 12, 24, 48, 96), key=lambda runs: abs(runs - wanted))


def _level(companies: list[Company], paid: float) -> list[Company]:
    """Those who pay together at what was asked for: a few large ones would else make each seed another size."""
    drawn = sum(one.jobs_a_day for one in companies if one.plan != "free")
    return [
        one if one.plan == "free" or not drawn else one._replace(jobs_a_day=one.jobs_a_day * paid / drawn)
        for one in companies
    ]
