"""What a log says of costs: the gas of its batches, the time spent computing, the units a job is charged."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec

from zjops.analytics.figures import half_up
from zjops.analytics.warehouse import Warehouse
from zjops.domain.requests import UNBILLED


class Basis(msgspec.Struct, frozen=True):
    """The jobs that were accepted in a span, what they used, and how far the log went (Unix ms).

    `gas` and `work_ms` hold what the platform's own jobs used too; the jobs are those of tenants.
    """

    jobs_confirmed: int
    batches: int
    gas: int
    jobs_charged: int
    units_charged: int
    work_ms: int
    watermark_ms: int

    @property
    def gas_per_job(self) -> Fraction | None:
        """Gas that a tenant's job must carry; None where none was confirmed."""
        return Fraction(self.gas, self.jobs_confirmed) if self.jobs_confirmed else None

    def inputs(self) -> dict[str, Any]:
        """What of the cost model's inputs was measured."""
        if not self.jobs_confirmed:
            return {}
        charged = max(1, self.jobs_charged)
        return {
            "jobs_per_month": self.jobs_confirmed, "gas_per_batch": half_up(Fraction(self.gas, self.batches)),
            "work_ms": half_up(Fraction(self.work_ms, self.jobs_confirmed)),
            "units_per_job": max(1, half_up(Fraction(self.units_charged, charged))),
        }  # fmt: skip


def read_basis(warehouse: Warehouse, since_ms: int, until_ms: int) -> Basis:
    """What the jobs cost that were accepted from one moment to before another (Unix ms)."""
    (row,) = warehouse.rows("cost_basis", since_ms=since_ms, until_ms=until_ms, unbilled=sorted(UNBILLED))
    return Basis(**row, watermark_ms=warehouse.watermark())
