"""The same log under other prices: what each tenant would have paid, who would have met its quota, what would be left.

Everyone is taken to do what they did: who is charged more may do less, and jobs that were refused are not in the log.
Credits of operators stay, those of the SLA follow the fee, corrections of issued invoices are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from zjops.analytics.basis import read_basis
from zjops.analytics.billing import Month, read_month, usage_sql
from zjops.analytics.cost import CostBook, asked, cost_model, gas_microusd
from zjops.analytics.figures import half_up
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms, rfc3339, utc_month
from zjops.domain.errors import UsageError
from zjops.domain.invoices import Term, invoice_of
from zjops.domain.plans import PriceBook, Verdict, quota_limit

MICROUSD_PER_CENT = 10_000


class NamedBook(NamedTuple):
    """A price book and the name by which it is told from the others."""

    name: str
    book: PriceBook


class Hit(msgspec.Struct, frozen=True):
    """A month in which a tenant would have met its quota: 402, or the overage cap; from the first job refused on."""

    book: str
    tenant: str
    month: str
    plan: str
    verdict: Verdict
    limit_units: int
    peak_units: int
    first_at: str


class Priced(msgspec.Struct, frozen=True):
    """A span under one book: cents by tenant, for all that is in the log and for what the quota would have let by."""

    name: str
    version: str
    cents: dict[str, int]
    within_cents: dict[str, int]
    plans: dict[str, str]
    hits: list[Hit]


class Spent(msgspec.Struct, frozen=True):
    """What the span cost to run, whatever the prices."""

    chain_microusd: int
    infrastructure_microusd: int

    @property
    def microusd(self) -> int:
        """Both."""
        return self.chain_microusd + self.infrastructure_microusd


class TenantChange(msgspec.Struct, frozen=True):
    """A tenant under a book beside the first book; a winner pays less. `change_ppm` is None where nothing was paid."""

    book: str
    tenant: str
    plan: str
    before_cents: int
    after_cents: int
    change_cents: int
    change_ppm: int | None
    who: str
    quota: str


class BookRow(msgspec.Struct, frozen=True):
    """A book as a whole; `within_quota_cents` is the revenue without units above a plan's limit."""

    book: str
    version: str
    revenue_cents: int
    change_cents: int
    change_ppm: int | None
    winners: int
    losers: int
    quota_402: int
    overage_cap: int
    within_quota_cents: int
    chain_microusd: int
    infrastructure_microusd: int
    margin_microusd: int
    margin_ppm: int | None


def within_quota(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The terms without the units that their plans' quotas would have refused."""
    used, found = 0, []
    for term in terms:
        units = min(term.units, max(0, quota_limit(term.plan)[0] - used))
        used += units
        found.append(msgspec.structs.replace(term, units=units))
    return tuple(found)


def months_between(since_ms: int, until_ms: int) -> list[str]:
    """The UTC months from one first moment to before another. Raises `UsageError` for a part of a month."""
    months, at = [], since_ms
    while at < until_ms:
        months.append(utc_month(at))
        first, after = month_bounds_ms(months[-1])
        if at != first or after > until_ms:
            wrong = rfc3339(at if at != first else until_ms)
            raise UsageError(
                f"invoices are of whole months: a span begins and ends at a month's first day, not {wrong}"
            )
        at = after
    if not months:
        raise UsageError("the span is empty: --until is the first moment after it")
    return months


def price(warehouse: Warehouse, months: Sequence[str], named: NamedBook, *, now_ms: int) -> Priced:
    """The months of a log under a book. Raises `UsageError` that names the book when it lacks a plan."""
    cents, within, plans = defaultdict[str, int](int), defaultdict[str, int](int), dict[str, str]()
    hits = list[Hit]()
    for month in months:
        try:
            found = read_month(warehouse, month, named.book, now_ms=now_ms)
        except UsageError as exc:
            raise UsageError(f"{exc} (price book {named.name})") from exc
        for usage in found.usage:
            less = msgspec.structs.replace(usage, terms=within_quota(usage.terms))
            cents[usage.tenant] += invoice_of(usage, named.book).total_cents
            within[usage.tenant] += invoice_of(less, named.book).total_cents
            plans[usage.tenant] = usage.terms[-1].plan.name
        hits += quota_hits(warehouse, found, named.name)
    return Priced(named.name, named.book.version, dict(cents), dict(within), plans, hits)


def quota_hits(warehouse: Warehouse, month: Month, name: str) -> list[Hit]:
    """Who would have met its quota; only those who reserved more than their limit are followed job by job."""
    first_ms, after_ms = month_bounds_ms(month.month)
    rows = warehouse.ask(usage_sql(["tenant"]), tenant=None, since_ms=first_ms, until_ms=after_ms)
    reserved = {row["tenant"]: row["units_reserved"] for row in rows}
    terms = {
        (usage.tenant, term.since_ms): term
        for usage in month.usage
        for term in usage.terms
        if reserved.get(usage.tenant, 0) > quota_limit(term.plan)[0]
    }
    found = warehouse.rows(
        "quota_hits", first_ms=first_ms, after_ms=after_ms, tenants=[tenant for tenant, _ in terms],
        sinces=[since for _, since in terms], untils=[term.until_ms for term in terms.values()],
        units=[quota_limit(term.plan)[0] for term in terms.values()],
    ) if terms else []  # fmt: skip
    hits = []
    for row in found:
        plan = terms[row["tenant"], row["since_ms"]].plan
        hits.append(Hit(
            name, row["tenant"], month.month, plan.name, quota_limit(plan)[1], row["limit_units"], row["peak_units"],
            rfc3339(row["first_ms"]),
        ))  # fmt: skip
    return hits


def spent(warehouse: Warehouse, months: Sequence[str], book: CostBook, given: Mapping[str, int]) -> Spent:
    """Chain and infrastructure of the months: the gas of their jobs, and each month's lines without gas."""
    gas = infrastructure = 0
    for month in months:
        basis = read_basis(warehouse, *month_bounds_ms(month))
        inputs = asked(book.inputs, basis.inputs() | dict(given))
        gas += half_up(gas_microusd(Fraction(basis.gas), inputs))
        infrastructure += cost_model(book, inputs).infrastructure_microusd
    return Spent(gas, infrastructure)


def changes(base: Priced, other: Priced) -> list[TenantChange]:
    """Every tenant under another book beside the first, the greatest winner first."""
    quota = {hit.tenant: f"{_word(hit.verdict)} from {hit.first_at}" for hit in reversed(other.hits)}
    rows = [
        TenantChange(
            other.name, tenant, other.plans.get(tenant, base.plans.get(tenant, "")), before, after, after - before,
            _ppm(after - before, before), "winner" if after < before else "loser" if after > before else "same",
            quota.get(tenant, ""),
        )
        for tenant in sorted({*base.cents, *other.cents})
        for before, after in [(base.cents.get(tenant, 0), other.cents.get(tenant, 0))]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row.change_cents, row.tenant))


def book_row(base: Priced, other: Priced, cost: Spent) -> BookRow:
    """A book as a whole beside the first."""
    revenue, before, who = (
        sum(other.cents.values()),
        sum(base.cents.values()),
        [row.who for row in changes(base, other)],
    )
    margin = revenue * MICROUSD_PER_CENT - cost.microusd
    met = {verdict: len({hit.tenant for hit in other.hits if hit.verdict is verdict}) for verdict in Verdict}
    return BookRow(
        other.name, other.version, revenue, revenue - before, _ppm(revenue - before, before), who.count("winner"),
        who.count("loser"), met[Verdict.PAYMENT_REQUIRED], met[Verdict.CAP_REACHED], sum(other.within_cents.values()),
        cost.chain_microusd, cost.infrastructure_microusd, margin, _ppm(margin, revenue * MICROUSD_PER_CENT),
    )  # fmt: skip


def _ppm(part: int, whole: int) -> int | None:
    return half_up(Fraction(part * 10**6, whole)) if whole > 0 else None


def _word(verdict: Verdict) -> str:
    return "402" if verdict is Verdict.PAYMENT_REQUIRED else "overage cap"
