"""What an objective is, and the pairs of windows over which its budget may burn (SRE workbook, C80)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from zjops.domain.indicators import Indicator

__all__ = ["MILLION", "TENTHS", "Indicator", "Objective", "Pair", "Severity", "window_text"]

MILLION = 10**6
TENTHS = 10
Severity = Literal["page", "ticket"]


class Pair(NamedTuple):
    """A long and a short window, in minutes, over both of which the budget must burn faster than a factor.

    `factor_tenths` is the factor in tenths: 144 is 14.4 times the rate that just uses the budget up.
    """

    name: str
    factor_tenths: int
    long_minutes: int
    short_minutes: int
    severity: Severity

    def scaled(self, period: int, of: int) -> Pair:
        """The pair for another period, in minutes; windows are rounded up to whole minutes (C80)."""
        long, short = (-(-window * period // of) for window in (self.long_minutes, self.short_minutes))
        return self._replace(long_minutes=long, short_minutes=short)

    @property
    def factor(self) -> str:
        """The factor as people write it."""
        return f"{self.factor_tenths // TENTHS}.{self.factor_tenths % TENTHS}".removesuffix(".0")


class Objective(NamedTuple):
    """One SLO for one plan. The target is in millionths, the period in minutes."""

    slo: str
    text: str
    indicator: Indicator
    plan: str
    target_ppm: int
    period_minutes: int
    pairs: tuple[Pair, ...]

    @property
    def budget_ppm(self) -> int:
        """The share that may be bad, in millionths."""
        return MILLION - self.target_ppm

    @property
    def target(self) -> str:
        """The target as people write it, such as `99.97 %`."""
        whole, rest = divmod(self.target_ppm, MILLION // 100)
        return f"{whole}.{rest:04d}".rstrip("0").rstrip(".") + " %"


def window_text(minutes: int) -> str:
    """A window as Prometheus and people write it, in its largest whole unit: `5m`, `6h`, `3d`."""
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes % size == 0 and minutes:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
