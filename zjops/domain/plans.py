"""Plans, compute units and the quota decision. Compute units and money are integers everywhere."""

from __future__ import annotations

import enum
import functools
import importlib.resources
import tomllib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from zjops.domain.errors import UsageError

OVERAGE_CAP_PERCENT = 50
"""Overage ends at this share of the monthly units above limit plus buffer (R53)."""


Money = Annotated[int, Meta(ge=0, le=10**15)]
Units = Annotated[int, Meta(ge=0, le=10**15)]
Percent = Annotated[int, Meta(ge=0, le=100)]


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tier, with a tenant's negotiated values already applied.

    Fees in micro-dollars a month, unit prices in nano-dollars a compute unit, `buffer_units` overrides the percentage.
    """

    name: str
    fee_microusd: Money
    requests_per_second: Annotated[int, Meta(ge=1, le=1_000_000)]
    burst_seconds: Annotated[int, Meta(ge=1, le=60)]
    compute_units: Units
    buffer_percent: Percent
    overage_allowed: bool
    overage_nanousd: Money
    body_bytes: Annotated[int, Meta(ge=1, le=100_000_000)]
    active_jobs: Units
    sla_percent: Annotated[float, Meta(ge=0, le=100)]
    support: str
    discount_after_units: Units | None = None
    discount_percent: Percent = 0
    buffer_override_units: Units | None = None
    overage_cap_percent: Annotated[int, Meta(ge=0, le=10_000)] = OVERAGE_CAP_PERCENT
    overage_enabled: bool = False
    auto_upgrade: bool = False

    @property
    def buffer_units(self) -> int:
        """Compute units of grace above the limit (R50)."""
        if self.buffer_override_units is not None:
            return self.buffer_override_units
        return self.compute_units * self.buffer_percent // 100

    @property
    def overage_cap_units(self) -> int:
        """The most overage a month may hold (R53)."""
        return self.compute_units * self.overage_cap_percent // 100


def negotiable() -> dict[str, Any]:
    """JSON Schemas of the values that may be negotiated, by their names."""
    _, components = msgspec.json.schema_components([Plan])
    properties: dict[str, Any] = components["Plan"]["properties"]
    return {name: schema for name, schema in properties.items() if name != "name"}


class PriceBook(msgspec.Struct, frozen=True):
    """All plans of one version, as read from `prices.toml`."""

    version: str
    currency: str
    bytes_per_kb: int
    plans: dict[str, Plan]

    def plan(self, name: str, overrides: dict[str, Any] | None = None) -> Plan:
        """A plan with a tenant's negotiated values. Raises `UsageError` for an unknown plan or field."""
        if name not in self.plans:
            raise UsageError(f"no plan {name!r}; there are {', '.join(self.plans)}")
        base = msgspec.to_builtins(self.plans[name])
        try:
            return msgspec.convert(base | (overrides or {}), Plan)
        except msgspec.ValidationError as exc:
            raise UsageError(f"plan override: {exc}") from exc


def read_price_book(text: str) -> PriceBook:
    """Parse a price book. Raises `UsageError` when it is not one."""
    try:
        raw = tomllib.loads(text)
        plans = {name: {"name": name} | row for name, row in raw.get("plans", {}).items()}
        return msgspec.convert(raw | {"plans": plans}, PriceBook)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise UsageError(f"price book: {exc}") from exc


@functools.cache
def price_book() -> PriceBook:
    """The price book that ships with this version."""
    return read_price_book(importlib.resources.files(__package__).joinpath("prices.toml").read_text())


def compute_units(body_bytes: int, bytes_per_kb: int = 1000) -> int:
    """Compute units of a request body (R45, R46, C8, C74).

    1 unit a kB rounded up; at least 100 below 100 kB; 20 % more, rounded up, above 1 MB.
    """
    kb = -(-body_bytes // bytes_per_kb)
    if body_bytes > 1000 * bytes_per_kb:
        return -(-kb * 6 // 5)
    return max(kb, 100)


class Verdict(enum.StrEnum):
    """What the quota decides (R54)."""

    PRIMARY = "primary"
    BUFFER = "buffer"
    OVERAGE = "overage"
    PAYMENT_REQUIRED = "payment_required"
    CAP_REACHED = "cap_reached"


ALLOWED = frozenset({Verdict.PRIMARY, Verdict.BUFFER, Verdict.OVERAGE})


class Split(msgspec.Struct, frozen=True):
    """Compute units by the part of the allowance they fall into."""

    included: int
    buffer: int
    overage: int


class QuotaDecision(msgspec.Struct, frozen=True):
    """The answer of the quota: verdict, where usage would stand, and this job's own part of the overage (C11)."""

    verdict: Verdict
    used: int
    needed: int
    job_overage: int

    @property
    def allowed(self) -> bool:
        """Whether the job may be accepted."""
        return self.verdict in ALLOWED


def split_units(plan: Plan, used: int) -> Split:
    """Divide a month's units into included, buffer and overage; the three sum to `used`."""
    included = min(used, plan.compute_units)
    buffer = min(used - included, plan.buffer_units)
    return Split(included, buffer, used - included - buffer)


def decide_quota(plan: Plan, used: int, needed: int) -> QuotaDecision:
    """Whether `needed` more units fit (R54): primary, buffer, overage enabled, cap.

    `used` counts this month's held and charged units. The caller reserves `needed` in the same transaction (C13).
    """
    after = used + needed
    if after <= plan.compute_units:
        return QuotaDecision(Verdict.PRIMARY, used, needed, 0)
    split = split_units(plan, after)
    job_overage = split.overage - split_units(plan, used).overage
    if not split.overage:
        verdict = Verdict.BUFFER
    elif not (plan.overage_allowed and plan.overage_enabled):
        verdict = Verdict.PAYMENT_REQUIRED
    elif split.overage > plan.overage_cap_units:
        verdict = Verdict.CAP_REACHED
    else:
        verdict = Verdict.OVERAGE
    return QuotaDecision(verdict, used, needed, job_overage)
