"""Gas as tables: what was measured, what it saves and costs, and what that comes to at a rate of arrival.

Pure arithmetic. A root batch costs nearly the same for any number of jobs, so its price a job is a matter of how many
jobs arrive while a batch is open: by the renewal theorem, gas of a batch through the jobs that it holds on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from zjops.domain.batches import jobs_per_batch

GWEI = 10**9
COIN = 10**18
BASELINE = "original_single"
PROMISED = 0.73
RATES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
WINDOWS_S = (5, 60, 300, 3_600)


LEAF = "materialise"
"""The way that stores one job of a batch, beside what its batch cost."""


class Measured(msgspec.Struct, frozen=True):
    """One transaction: the way of confirming, the size of the batch, what it used, and for how many jobs if not all."""

    path: str
    batch_size: int
    gas: int
    jobs: int | None = None


class Prices(msgspec.Struct, frozen=True):
    """A gas price in gwei and a coin's price in US dollars."""

    gwei: float
    usd: float

    def cost(self, gas: float) -> float:
        """US dollars of an amount of gas."""
        return gas * self.gwei * GWEI / COIN * self.usd


class GasRow(msgspec.Struct, frozen=True):
    """What one way costs at one size of batch; the saving is a share, 0.73 for 73 %."""

    path: str
    batch_size: int
    gas: int
    gas_per_job: float
    saving_vs_original_single: float
    cost_per_job_usd: float


class RateRow(msgspec.Struct, frozen=True):
    """What root batches cost at a rate of arrival and a batch window."""

    jobs_per_month: int
    window_s: int
    jobs_per_batch: float
    gas_per_job: float
    saving_vs_original_single: float
    cost_per_job_usd: float
    cost_per_month_usd: float


class PromiseRow(msgspec.Struct, frozen=True):
    """One way of batching beside what the design promised of it."""

    way: str
    promised_saving: float
    saving: float
    holds: bool


def _saving(gas_per_job: float, baseline: float) -> float:
    return round(1 - gas_per_job / baseline, 6)


def baseline_of(measured: Sequence[Measured]) -> float:
    """Gas of the original's single confirmation, against which everything is held. Raises `StopIteration`."""
    return float(next(one.gas for one in measured if one.path == BASELINE))


def gas_rows(measured: Sequence[Measured], prices: Prices) -> list[GasRow]:
    """The table by way and size of batch."""
    baseline = baseline_of(measured)
    rows = []
    for one in measured:
        each = one.gas / (one.jobs or one.batch_size)
        rows.append(GasRow(
            one.path, one.batch_size, one.gas, round(each, 2), _saving(each, baseline), round(prices.cost(each), 9)
        ))  # fmt: skip
    return rows


def _root_gas(measured: Sequence[Measured], jobs: float) -> float:
    """Gas of a root batch of that many jobs: between two measured sizes on the line between them."""
    points = sorted((one.batch_size, one.gas) for one in measured if one.path == "root_batch")
    for (low, first), (high, second) in pairwise(points):
        if jobs <= high:
            return first + (second - first) * (jobs - low) / (high - low)
    return float(points[-1][1])


def rate_rows(
    measured: Sequence[Measured], prices: Prices, rates: Sequence[int] = RATES, windows_s: Sequence[int] = WINDOWS_S
) -> list[RateRow]:
    """The table by jobs a month and batch window."""
    baseline, rows = baseline_of(measured), []
    for rate in rates:
        for window_s in windows_s:
            jobs = float(jobs_per_batch(rate, window_s))
            each = _root_gas(measured, jobs) / jobs
            rows.append(RateRow(
                rate, window_s, round(jobs, 3), round(each, 2), _saving(each, baseline), round(prices.cost(each), 9),
                round(prices.cost(each) * rate, 2),
            ))  # fmt: skip
    return rows


def promise_rows(rows: Sequence[GasRow]) -> list[PromiseRow]:
    """The design's 73 % beside the largest batch of every way that batches."""
    largest = {row.path: row for row in rows if row.batch_size > 1 and row.path != LEAF}
    return [
        PromiseRow(f"{path} of {row.batch_size:,}", PROMISED, row.saving_vs_original_single,
                   row.saving_vs_original_single >= PROMISED)
        for path, row in largest.items()
    ]  # fmt: skip
