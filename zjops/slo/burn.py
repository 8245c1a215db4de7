"""Burn rates: how many times faster than it lasts a budget is being spent, over a long and a short window at once."""

from __future__ import annotations

import enum
from typing import NamedTuple

from zjops.slo.minutes import Count, Minutes
from zjops.slo.model import MILLION, TENTHS, Pair

LONG_ENOUGH, SHORT_ENOUGH = 100, 10
"""Events that the long and the short window must hold before a rate is judged (C80)."""


class Burning(enum.StrEnum):
    """What a pair of windows says."""

    FIRING = "firing"
    QUIET = "quiet"
    TOO_FEW = "not enough data"


class Burn(NamedTuple):
    """A pair of windows with what happened in each."""

    pair: Pair
    long: Count
    short: Count
    budget_ppm: int

    @property
    def state(self) -> Burning:
        """It fires when both windows burn faster than the factor: the short one ends the alert soon after the cause."""
        if self.long.total < LONG_ENOUGH or self.short.total < SHORT_ENOUGH:
            return Burning.TOO_FEW
        both = all(exceeds(count, self.budget_ppm, self.pair.factor_tenths) for count in (self.long, self.short))
        return Burning.FIRING if both else Burning.QUIET

    @property
    def long_millis(self) -> int | None:
        """The long window's burn rate in thousandths, None without an event."""
        return rate_millis(self.long, self.budget_ppm)

    @property
    def short_millis(self) -> int | None:
        """The short window's burn rate in thousandths, None without an event."""
        return rate_millis(self.short, self.budget_ppm)


def exceeds(count: Count, budget_ppm: int, factor_tenths: int) -> bool:
    """Whether a window burns faster than a factor."""
    return count.bad * MILLION * TENTHS > factor_tenths * count.total * budget_ppm


def rate_millis(count: Count, budget_ppm: int) -> int | None:
    """A window's burn rate in thousandths, rounded down: 14,400 is 14.4. None without an event. For people only."""
    return count.bad * MILLION * 1000 // (count.total * budget_ppm) if count.total else None


def burns_of(minutes: Minutes, budget_ppm: int, pairs: tuple[Pair, ...]) -> list[Burn]:
    """Every pair at the end of a history."""
    return [Burn(p, minutes.last(p.long_minutes), minutes.last(p.short_minutes), budget_ppm) for p in pairs]
