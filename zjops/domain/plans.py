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


class SlaCredit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the fee that is credited for a month below an availability; without one, below the plan's own SLA."""

    fee_percent: Percent
    below_percent: Annotated[float, Meta(gt=0, le=100)] | None = None


class PriceBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All plans of one version, as read from `prices.toml`."""

    version: str
    currency: str
    bytes_per_kb: Annotated[int, Meta(ge=1)]
    plans: dict[str, Plan]
    seller: str = "Zama Jobs"
    sla_credits: tuple[SlaCredit, ...] = ()

    def plan(self, name: str, overrides: dict[str, Any] | None = None) -> Plan:
        """A plan with a tenant's negotiated values. Raises `UsageError` for an unknown plan or field."""
        if name not in self.plans:
            raise UsageError(f"no plan {name!r}; there are {', '.join(self.plans)}")
        base = msgspec.to_builtins(self.plans[name])
        try:
            return msgspec.convert(base | (overrides or {}), Plan)
        except msgspec.ValidationError as exc:
            raise UsageError(f"plan override: {exc}") from exc


def read_price_book(text: str, where: str = "price book") -> PriceBook:
    """Parse a price book. Raises `UsageError` that names the line or the member when it is not one."""
    try:
        raw = tomllib.loads(text)
        given = raw.get("plans", {})
        plans = {name: {"name": name} | row for name, row in given.items()} if isinstance(given, dict) else given
        book = msgspec.convert(raw | {"plans": plans}, PriceBook)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, TypeError) as exc:
        raise UsageError(f"{where}: {exc}") from exc
    wrong = book_faults(book)
    if wrong:
        raise UsageError(f"{where}: {wrong[0]}")
    return book


def book_faults(book: PriceBook) -> list[str]:
    """Gaps and overlaps: prices that are missing where they are needed, or two for the same thing."""
    found = [] if book.plans else ["there is no plan"]
    for plan in book.plans.values():
        where = f"plans.{plan.name}"
        if plan.discount_percent and plan.discount_after_units is None:
            found.append(f"{where}: discount_percent has no discount_after_units: from which unit does it hold?")
        if plan.discount_after_units is not None and not plan.discount_percent:
            found.append(f"{where}: above discount_after_units there is no price; give discount_percent")
        if plan.overage_allowed and not plan.overage_nanousd:
            found.append(f"{where}: overage is allowed and has no price (overage_nanousd)")
    bounds = [band.below_percent for band in book.sla_credits]
    for bound in {bound for bound in bounds if bounds.count(bound) > 1}:
        text = "the plan's SLA" if bound is None else f"{bound} %"
        found.append(f"sla_credits: two bands overlap, both hold below {text}")
    ordered = sorted(book.sla_credits, key=lambda band: -(band.below_percent or 101))
    if [band.fee_percent for band in ordered] != sorted(band.fee_percent for band in ordered):
        found.append("sla_credits: a lower availability must not earn a smaller credit")
    return found


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

    @property
    def total(self) -> int:
        """All three."""
        return self.included + self.buffer + self.overage


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


def quota_limit(plan: Plan) -> tuple[int, Verdict]:
    """The most units that a month may hold, and what the quota says to the job that would go above it."""
    allowance = plan.compute_units + plan.buffer_units
    if plan.overage_allowed and plan.overage_enabled:
        return allowance + plan.overage_cap_units, Verdict.CAP_REACHED
    return allowance, Verdict.PAYMENT_REQUIRED


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
