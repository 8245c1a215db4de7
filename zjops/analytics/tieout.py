"""The tie-out: jobs, units, dollars and confirmations of a month, each an identity whose parts are counted apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms
from zjops.domain.ids import job_id
from zjops.domain.invoices import (
    BUFFER,
    CORRECTION,
    CREDIT,
    FEE,
    INCLUDED,
    OVERAGE,
    OVERAGE_DISCOUNTED,
    SLA_CREDIT,
    Invoice,
)
from zjops.domain.requests import UNBILLED

SHOWN = 1_000
"""How many jobs of a bucket are listed; the counts are always whole."""


class Identity(msgspec.Struct, frozen=True):
    """One equation: what stands on the left, the named parts on the right, and by how much they differ."""

    name: str
    left: int
    parts: dict[str, int]
    unit: str

    @property
    def residual(self) -> int:
        """Left less the sum of the parts; 0 when it holds."""
        return self.left - sum(self.parts.values())

    def text(self) -> str:
        """The equation as people read it."""
        terms = " ".join(f"{'+' if value >= 0 else '-'} {abs(value):,} {name}" for name, value in self.parts.items())
        sign = "=" if not self.residual else "≠"
        return f"{self.left:,} {self.unit} {self.name} {sign} {terms.removeprefix('+ ')}"


class TieOut(msgspec.Struct, frozen=True):
    """A month's identities, the jobs of each bucket that is still open, and those that fit none."""

    month: str
    identities: list[Identity]
    in_flight: list[str]
    awaiting_finality: list[str]
    wrong: list[tuple[str, str]]
    wrong_count: int

    @property
    def holds(self) -> bool:
        """Whether every equation does, and every job fits."""
        return not self.wrong_count and not any(identity.residual for identity in self.identities)


def tie_out(warehouse: Warehouse, month: str, invoices: Sequence[Invoice]) -> TieOut:
    """Count a month from the log and from the invoices that were made of it."""
    first_ms, after_ms = month_bounds_ms(month)
    span = {"first_ms": first_ms, "after_ms": after_ms, "unbilled": sorted(UNBILLED)}
    row = warehouse.rows("tie_out", **span, most=SHOWN)[0]
    identities = [
        Identity("accepted", row["accepted"], _of(row, "completed", "failed", "cancelled", "in_flight"), "jobs"),
        Identity("reserved", row["reserved"], _of(row, "charged", "released", "held"), "units"),
        Identity("charged", row["charged"], _units(invoices), "units"),
        Identity("confirmed", row["confirmed"], _of(row, "completed", "failed") | {
            "awaiting finality": -row["awaiting_finality"]
        }, "jobs"),
        _dollars(invoices),
    ]  # fmt: skip
    wrong = [(_name(found[0]), str(found[1])) for found in row["wrong_jobs"] or ()]
    return TieOut(
        month, identities, [_name(key) for key in row["in_flight_jobs"] or ()],
        [_name(key) for key in row["awaiting_jobs"] or ()], wrong, row["wrong"],
    )  # fmt: skip


def _of(row: dict[str, Any], *names: str) -> dict[str, int]:
    return {name.replace("_", " "): row[name] for name in names}


def _name(key: Any) -> str:
    return job_id(bytes(key))


def _units(invoices: Sequence[Invoice]) -> dict[str, int]:
    """The units that the lines bill."""
    codes = {INCLUDED: (INCLUDED,), BUFFER: (BUFFER,), OVERAGE: (OVERAGE, OVERAGE_DISCOUNTED)}
    return {
        name: sum(line.quantity for one in invoices for line in one.lines if line.code in wanted)
        for name, wanted in codes.items()
    }


def _dollars(invoices: Sequence[Invoice]) -> Identity:
    """Totals against their lines, in cents."""
    names = {
        "plan fees": (FEE,), "overage": (OVERAGE, OVERAGE_DISCOUNTED), "credits": (CREDIT, SLA_CREDIT),
        "corrections": (CORRECTION,),
    }  # fmt: skip
    parts = {
        name: sum(line.amount_cents for one in invoices for line in one.lines if line.code in codes)
        for name, codes in names.items()
    }
    return Identity("invoiced", sum(one.total_cents for one in invoices), parts, "cents")
