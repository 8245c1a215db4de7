"""From charged units to invoice lines. Rounding happens here and nowhere else (C75).

A month is a row of terms, each a plan with what was charged of the jobs that were accepted under it (C76, C77). Nothing
here asks when an event arrived: the same usage gives the same lines.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence

import msgspec

from zjops.domain.clock import month_bounds_ms, utc_date
from zjops.domain.plans import Plan, PriceBook, SlaCredit, Split

MICROUSD_PER_CENT = 10_000
DAY_MS = 86_400_000
DUE_DAYS = 14
DRAFT, ISSUED = "draft", "issued"
FEE, INCLUDED, BUFFER, OVERAGE = "plan-fee", "included", "buffer", "overage"
OVERAGE_DISCOUNTED, SLA_CREDIT, CREDIT, CORRECTION = "overage-discounted", "sla-credit", "credit", "correction"


class Term(msgspec.Struct, frozen=True):
    """A plan with negotiated values, from `since_ms` to before `until_ms` (Unix ms), and what was charged under it."""

    plan: Plan
    since_ms: int
    until_ms: int
    units: int = 0
    jobs: int = 0


class Credit(msgspec.Struct, frozen=True):
    """A credit note of an operator (S11): how much, for which month's fault, and why. `granted_at` is Unix ms."""

    credit_id: str
    microusd: int
    reason: str
    granted_at: int
    month: str | None = None
    job: str | None = None


class Correction(msgspec.Struct, frozen=True):
    """What an issued invoice would now come to, less what it said: a note on the next one (C76)."""

    month: str
    invoice: str
    cents: int
    jobs: int
    units: int


class InvoiceLine(msgspec.Struct, frozen=True):
    """One line: units of `unit`, a price in nano-dollars a unit (0 for a flat amount), the amount in cents.

    `reference` names what the line rests on besides usage: a credit's id or the number of the invoice it corrects;
    `jobs` how many a correction adds; `days` how many days of the month a fee pays for.
    """

    code: str
    description: str
    quantity: int
    unit: str
    unit_price_nanousd: int
    amount_cents: int
    plan: str = ""
    reference: str | None = None
    jobs: int = 0
    days: int = 0


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's month: its lines, their total in cents, and the units behind them.

    `number` is given when it is issued; dates are UTC days; `watermark_ms` says how far the log went (Unix ms), and
    `through_sequence` which event of the stream was its last.
    """

    number: str | None = None
    state: str = DRAFT
    tenant: str
    month: str
    period_start: str
    period_end: str
    issue_date: str | None = None
    due_date: str | None = None
    seller: str
    customer: str
    plan: str
    price_book: str
    currency: str
    tax: str = "excluding tax"
    watermark_ms: int = 0
    through_sequence: int = 0
    units: Split
    jobs: int
    lines: list[InvoiceLine]
    total_cents: int


class Usage(msgspec.Struct, frozen=True):
    """All that a month's invoice rests on. `availability` is good and all requests, None where not measured."""

    tenant: str
    month: str
    terms: tuple[Term, ...]
    credits: tuple[Credit, ...] = ()
    corrections: tuple[Correction, ...] = ()
    availability: tuple[int, int] | None = None


class Overage(msgspec.Struct, frozen=True):
    """What term number `term` adds above its allowance, after `before` units of the month that were overage already."""

    term: int
    plan: Plan
    before: int
    units: int


def round_to_cents(microusd: int) -> int:
    """Micro-dollars to cents, half up (also for credits: -0.5 cents becomes 0)."""
    return (microusd + MICROUSD_PER_CENT // 2) // MICROUSD_PER_CENT


def split_terms(terms: Sequence[Term]) -> tuple[Split, list[Overage]]:
    """The month's units by the part of the allowance they fall into, and the overage of each term in order.

    A new limit holds for the whole month at once, with the use since its first day; overage already incurred stays, and
    what an earlier term had covered is not taken back (C77). The three parts sum to what was charged.
    """
    used = over = covered = most = 0
    widest, found = terms[0].plan, list[Overage]()
    for number, term in enumerate(terms):
        used += term.units
        allowance = term.plan.compute_units + term.plan.buffer_units
        if allowance >= most:
            widest, most = term.plan, allowance
        covered = min(used - over, max(allowance, covered))
        more = used - over - covered
        if more:
            found.append(Overage(number, term.plan, over, more))
            over += more
    included = min(covered, widest.compute_units)
    return Split(included, covered - included, over), found


def fee_days(terms: Sequence[Term], month: str) -> list[tuple[Plan, int, int]]:
    """Each term's plan with its first day of the month (from 0) and how many days it pays.

    A day is paid by the plan that held when it began (C77). The first term pays from the month's first day: the whole
    allowance was to be had, whenever in the month the tenant came.
    """
    first_ms, after_ms = month_bounds_ms(month)
    days = (after_ms - first_ms) // DAY_MS
    starts = [0, *(min(days, -(-(term.since_ms - first_ms) // DAY_MS)) for term in terms[1:])]
    spans = zip(terms, starts, [*starts[1:], days], strict=True)
    return [(term.plan, start, end - start) for term, start, end in spans if end > start]


def _fee_lines(terms: Sequence[Term], month: str) -> list[InvoiceLine]:
    if len(terms) == 1:
        return [_whole_fee(terms[0].plan, month)]
    paid = fee_days(terms, month)
    days = sum(count for _, _, count in paid)
    return [_fee_line(plan, month, start, count, days) for plan, start, count in paid]


@functools.lru_cache(maxsize=4096)
def _whole_fee(plan: Plan, month: str) -> InvoiceLine:
    """The fee of a whole month: nearly every tenant pays one, and those of a plan share it."""
    first_ms, after_ms = month_bounds_ms(month)
    days = (after_ms - first_ms) // DAY_MS
    return _fee_line(plan, month, 0, days, days)


def _fee_line(plan: Plan, month: str, start: int, count: int, days: int) -> InvoiceLine:
    text = f"{plan.name.capitalize()} plan, {month}"
    if count < days:
        text += f", {count} of {days} days from day {start + 1}"
    # Half up, of the exact share: rounding twice could differ by a cent.
    cents = (2 * plan.fee_microusd * count + days * MICROUSD_PER_CENT) // (2 * days * MICROUSD_PER_CENT)
    return InvoiceLine(FEE, text, 1, "month", 0, cents, plan.name, days=count)


def overage_lines(plan: Plan, units: int, before: int = 0) -> list[InvoiceLine]:
    """Overage at the plan's price; overage of the month above the threshold at the discount (R83: graduated).

    A plan that sells no overage charges none: what lies above it is shown at no price.
    """
    if not plan.overage_allowed:
        return [InvoiceLine(OVERAGE, "Above the limit, not charged", units, "CU", 0, 0, plan.name)] if units else []
    threshold = before + units if plan.discount_after_units is None else plan.discount_after_units
    full = min(units, max(0, threshold - before))
    lines = [_overage_line(plan, OVERAGE, full, 0)] if full else []
    if units > full:
        lines.append(_overage_line(plan, OVERAGE_DISCOUNTED, units - full, plan.discount_percent))
    return lines


def _overage_line(plan: Plan, code: str, units: int, percent_off: int) -> InvoiceLine:
    price = plan.overage_nanousd * (100 - percent_off) // 100
    text = "Overage" if not percent_off else f"Overage above {plan.discount_after_units or 0:,} CU, {percent_off} % off"
    return InvoiceLine(code, text, units, "CU", price, round_to_cents(units * price // 1000), plan.name)


def _usage_lines(units: Split, overages: Sequence[Overage]) -> list[InvoiceLine]:
    lines = [InvoiceLine(INCLUDED, "Included compute units", units.included, "CU", 0, 0)]
    if units.buffer:
        lines.append(InvoiceLine(BUFFER, "Buffer, free of charge", units.buffer, "CU", 0, 0))
    for part in overages:
        lines += overage_lines(part.plan, part.units, part.before)
    return lines


def sla_credit(availability: tuple[int, int] | None, plan: Plan, bands: Sequence[SlaCredit]) -> SlaCredit | None:
    """The band into which a month's availability (good, all) falls below the plan's SLA, or None."""
    if availability is None or not availability[1] or not plan.sla_percent:
        return None
    good, total = availability
    below = [band for band in bands if good * 100_000 < total * round((band.below_percent or plan.sla_percent) * 1000)]
    return max(below, key=lambda band: band.fee_percent, default=None)


def _sla_lines(usage: Usage, fee_cents: int, book: PriceBook) -> list[InvoiceLine]:
    plan = usage.terms[-1].plan
    band = sla_credit(usage.availability, plan, book.sla_credits)
    if band is None or usage.availability is None or not fee_cents:
        return []
    share = usage.availability[0] * 100_000 // usage.availability[1]
    text = (
        f"Service credit: {share // 1000}.{share % 1000:03d} % available, under "
        f"{band.below_percent or plan.sla_percent} %, {band.fee_percent} % of the fee"
    )
    cents = round_to_cents(-fee_cents * (MICROUSD_PER_CENT // 100) * band.fee_percent)
    return [InvoiceLine(SLA_CREDIT, text, 1, "credit", 0, cents, plan.name)]


def _note_lines(usage: Usage) -> list[InvoiceLine]:
    """Credits in the order of their grant, then corrections of issued invoices by month."""
    lines = list[InvoiceLine]()
    if not usage.credits and not usage.corrections:
        return lines
    for credit in sorted(usage.credits, key=lambda c: (c.granted_at, c.credit_id)):
        about = f" for {credit.month}" if credit.month and credit.month != usage.month else ""
        job = f", {credit.job}" if credit.job else ""
        text = f"Credit{about}: {credit.reason}{job}"
        cents = round_to_cents(-credit.microusd)
        lines.append(InvoiceLine(CREDIT, text, 1, "credit", 0, cents, reference=credit.credit_id))
    for note in sorted(usage.corrections, key=lambda c: c.month):
        text = f"Correction of {note.invoice} ({note.month}): {note.jobs:+,} jobs, {note.units:+,} CU"
        lines.append(InvoiceLine(CORRECTION, text, note.units, "CU", 0, note.cents, "", note.invoice, note.jobs))
    return lines


def invoice_of(usage: Usage, book: PriceBook, *, watermark_ms: int = 0, through_sequence: int = 0) -> Invoice:
    """The draft invoice of a month (R81-R84, C75-C77): fee, usage, credits, corrections. Total = sum of lines."""
    units, overages = split_terms(usage.terms)
    fees = _fee_lines(usage.terms, usage.month)
    lines = fees + _usage_lines(units, overages) + _sla_lines(usage, _total(fees), book) + _note_lines(usage)
    first_day, last_day = _period(usage.month)
    return Invoice(
        tenant=usage.tenant, month=usage.month, period_start=first_day, period_end=last_day,
        seller=book.seller, customer=usage.tenant, plan=usage.terms[-1].plan.name, price_book=book.version,
        currency=book.currency, watermark_ms=watermark_ms, through_sequence=through_sequence, units=units,
        jobs=sum([term.jobs for term in usage.terms]), lines=lines, total_cents=_total(lines),
    )  # fmt: skip


def _total(lines: Sequence[InvoiceLine]) -> int:
    return sum([line.amount_cents for line in lines])


@functools.lru_cache(maxsize=64)
def _period(month: str) -> tuple[str, str]:
    """The first and the last day of a month."""
    first_ms, after_ms = month_bounds_ms(month)
    return utc_date(first_ms), utc_date(after_ms - 1)


def issued(invoice: Invoice, number: str, on_ms: int) -> Invoice:
    """A draft as it is issued on a day: from then on it never changes (C76)."""
    due = dt.datetime.fromtimestamp(on_ms // 1000, dt.UTC) + dt.timedelta(days=DUE_DAYS)
    return msgspec.structs.replace(
        invoice, number=number, state=ISSUED, issue_date=utc_date(on_ms), due_date=due.strftime("%Y-%m-%d")
    )


def month_term(plan: Plan, month: str, units: int, jobs: int) -> Term:
    """A whole month on one plan."""
    first_ms, after_ms = month_bounds_ms(month)
    return Term(plan, first_ms, after_ms, units, jobs)


def dollars(cents: int) -> str:
    """Cents as `$29.25`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"
