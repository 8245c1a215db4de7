"""The error budget in integers: what may be bad, what was, what is left, and what follows from that (R105, C58).

All comparisons are between whole numbers of millionths of an event; nothing is divided before it is compared.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from zjops.slo.minutes import Count, Minutes
from zjops.slo.model import MILLION

HOUR = 60
ENOUGH = 100
"""Events that the last hour must hold before anything is foreseen from it."""


class Policy(enum.StrEnum):
    """What the budget that is left asks of those who change the platform (R105)."""

    HEALTHY = "healthy"
    SLOW = "slow"
    FREEZE = "freeze"
    FULL_FREEZE = "full-freeze"


ACTIONS: dict[Policy, str] = {
    Policy.HEALTHY: "change as usual",
    Policy.SLOW: "slow down risky change",
    Policy.FREEZE: "freeze changes, review the incidents",
    Policy.FULL_FREEZE: "freeze everything, tell the executives, a post-mortem is due",
}


class Budget(NamedTuple):
    """A period's budget: `counted` happened, `budget_ppm` of it may be bad, `period` is in minutes."""

    counted: Count
    budget_ppm: int
    period: int

    @property
    def left_micro(self) -> int:
        """What is left, in millionths of an event; negative when more was spent than there is."""
        return self.counted.total * self.budget_ppm - self.counted.bad * MILLION

    @property
    def allowed(self) -> int:
        """Events of this many that may be bad."""
        return self.counted.total * self.budget_ppm // MILLION

    @property
    def left(self) -> int:
        """Bad events that still fit; negative when there were too many."""
        return self.left_micro // MILLION

    @property
    def left_ppm(self) -> int | None:
        """What is left as a share of the budget, in millionths; None while nothing is known."""
        whole = self.counted.total * self.budget_ppm
        return self.left_micro * MILLION // whole if whole else None

    @property
    def allowed_seconds(self) -> int:
        """The budget as time of a full outage: 2,592 s, 43.2 min, for 99.9 % of 30 days."""
        return self.period * 60 * self.budget_ppm // MILLION

    @property
    def spent_seconds(self) -> int | None:
        """What was spent as time of a full outage at the period's mean traffic; None while nothing is known."""
        total = self.counted.total
        return self.period * 60 * self.counted.bad // total if total else None

    @property
    def whole(self) -> bool:
        """Whether the history covers the period."""
        return self.counted.covered >= self.period

    @property
    def policy(self) -> Policy | None:
        """What to do; None where the history does not cover the period, or nothing is known (C79)."""
        whole, left = self.counted.total * self.budget_ppm, self.left_micro
        if not self.whole or not whole:
            return None
        if left <= 0:
            return Policy.FULL_FREEZE
        if 4 * left < whole:
            return Policy.FREEZE
        return Policy.SLOW if 2 * left <= whole else Policy.HEALTHY


class Outlook(enum.StrEnum):
    """When the budget will be empty."""

    EMPTY = "empty"
    AT = "at"
    NEVER = "not at this rate"
    TOO_FEW = "not enough data"


class Forecast(NamedTuple):
    """The outlook; with `AT`, the minutes from the end of the history until nothing is left."""

    outlook: Outlook
    minutes: int | None = None


def budget_of(minutes: Minutes, budget_ppm: int, period: int) -> Budget:
    """The budget at the end of a history."""
    return Budget(minutes.last(period), budget_ppm, period)


def forecast(minutes: Minutes, budget_ppm: int, period: int) -> Forecast:
    """When nothing is left if every hour from now on is as the last one, while old minutes leave the period.

    Within a stretch in which no minute with events leaves, what is left changes evenly: one division a stretch.
    """
    hour = minutes.last(HOUR)
    left = budget_of(minutes, budget_ppm, period).left_micro
    if minutes.last(period).total and left <= 0:
        return Forecast(Outlook.EMPTY)
    if hour.total < ENOUGH:
        return Forecast(Outlook.TOO_FEW)
    gain = hour.total * budget_ppm - hour.bad * MILLION
    base, begin = HOUR * left, 1
    for index in range(minutes.first_in(period), len(minutes.at)):
        leaves = minutes.at[index] - (minutes.until - period) + 1
        found = _first_empty(base, gain, begin, leaves - 1)
        if found is not None:
            return Forecast(Outlook.AT, found)
        total = minutes.good[index] + minutes.bad[index]
        base -= HOUR * (total * budget_ppm - minutes.bad[index] * MILLION)
        begin = max(begin, leaves)
    found = _first_empty(base, gain, begin, period)
    return Forecast(Outlook.NEVER) if found is None else Forecast(Outlook.AT, found)


def _first_empty(base: int, gain: int, begin: int, end: int) -> int | None:
    """The first whole k from begin to end at which `base + k * gain` is not above zero."""
    if base + begin * gain <= 0:
        first = begin
    elif gain < 0:
        first = -(base // gain)
    else:
        return None
    return first if begin <= first <= end else None
