"""From charged units to invoice lines. Rounding happens here and nowhere else (C75)."""

from __future__ import annotations

import msgspec

from zjops.domain.plans import Plan, Split, split_units

MICROUSD_PER_CENT = 10_000


class InvoiceLine(msgspec.Struct, frozen=True):
    """One line: units of `unit`, a price in nano-dollars a unit (0 for a flat fee), the amount in cents."""

    code: str
    description: str
    quantity: int
    unit: str
    unit_price_nanousd: int
    amount_cents: int


class Invoice(msgspec.Struct, frozen=True):
    """A tenant's month: the lines, their total in cents, and the units behind them."""

    tenant: str
    month: str
    plan: str
    price_book: str
    currency: str
    units: Split
    jobs: int
    lines: list[InvoiceLine]
    total_cents: int


def round_to_cents(microusd: int) -> int:
    """Micro-dollars to cents, half up (also for credits: -0.5 cents becomes 0)."""
    return (microusd + MICROUSD_PER_CENT // 2) // MICROUSD_PER_CENT


def _overage_line(plan: Plan, code: str, units: int, percent_off: int) -> InvoiceLine:
    price = plan.overage_nanousd * (100 - percent_off) // 100
    text = "Overage" if not percent_off else f"Overage above {plan.discount_after_units:,} CU, {percent_off} % off"
    return InvoiceLine(code, text, units, "CU", price, round_to_cents(units * price // 1000))


def overage_lines(plan: Plan, units: int) -> list[InvoiceLine]:
    """Overage at the plan's price; units above the threshold at the discount (R83: overage units, graduated)."""
    if not units:
        return []
    full = units if plan.discount_after_units is None else min(units, plan.discount_after_units)
    lines = [_overage_line(plan, "overage", full, 0)]
    if units > full:
        lines.append(_overage_line(plan, "overage-discounted", units - full, plan.discount_percent))
    return lines


def draft_invoice(
    plan: Plan, tenant: str, month: str, charged_units: int, jobs: int, price_book: str, currency: str = "USD"
) -> Invoice:
    """The invoice of a month on one plan (R81-R84): the fee, then what lies above limit and buffer."""
    units = split_units(plan, charged_units)
    fee = InvoiceLine(
        "plan-fee", f"{plan.name.capitalize()} plan, {month}", 1, "month", 0, round_to_cents(plan.fee_microusd)
    )
    usage = InvoiceLine("included", "Included compute units", units.included, "CU", 0, 0)
    grace = [InvoiceLine("buffer", "Buffer, free of charge", units.buffer, "CU", 0, 0)] if units.buffer else []
    lines = [fee, usage, *grace, *overage_lines(plan, units.overage)]
    total = sum(line.amount_cents for line in lines)
    return Invoice(tenant, month, plan.name, price_book, currency, units, jobs, lines, total)


def dollars(cents: int) -> str:
    """Cents as `$29.25`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"
