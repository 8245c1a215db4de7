"""How many jobs share a batch, and with it its gas: a matter of how quickly they come and how long a batch is open."""

from __future__ import annotations

from fractions import Fraction

MONTH_S = 30 * 86_400
"""Seconds of the month that rates are told by."""
BATCH_MOST = 1_000
"""Jobs at which a batch closes whatever its age (C81)."""


def jobs_per_batch(jobs_per_month: int, window_s: float) -> Fraction:
    """Jobs in a batch on average, arriving at random: the one that opens it and those that come while it is open.

    By the renewal theorem the gas of a job is then the gas of a batch through this number.
    """
    return min(Fraction(BATCH_MOST), 1 + Fraction(jobs_per_month, MONTH_S) * Fraction(window_s))
