"""Invoice lines as rows of FOCUS's Cost and Usage; a row is a line, and the rows of an invoice add up to its total.

| line | ChargeCategory | ChargeClass | ChargeFrequency | priced by |
|---|---|---|---|---|
| plan fee | Purchase | | Recurring | months: the share of the month that the plan held |
| included, buffer, overage | Usage | | Usage-Based | compute units |
| credit, service credit | Credit | | One-Time | |
| correction of an issued invoice | Adjustment | Correction | One-Time | |

BilledCost is what the invoice says, in whole cents; ContractedCost and ListCost are the exact products of quantity and
unit price, which round to it. The fee pays for its own month and is no purchase for later charges: its EffectiveCost is
its BilledCost. A draft's InvoiceId is provisional. Arithmetic is on whole numbers; `Decimal` only carries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from zjops.analytics.figures import half_up
from zjops.domain.clock import month_bounds_ms, rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.invoices import (
    BUFFER,
    CORRECTION,
    CREDIT,
    DAY_MS,
    FEE,
    INCLUDED,
    MICROUSD_PER_CENT,
    OVERAGE,
    OVERAGE_DISCOUNTED,
    SLA_CREDIT,
    Invoice,
    InvoiceLine,
)
from zjops.domain.plans import PriceBook

SERVICE, CATEGORY, SUBCATEGORY = "Asynchronous Jobs", "Compute", "Serverless Compute"
UNIT = "CU"
EMPTY = (
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType", "SubAccountId",
    "SubAccountName", "Tags",
)  # fmt: skip
"""Columns of features that the platform has not: null, and there for readers of FOCUS 1.0, which required them."""
SHARE_DIGITS, NANO = 9, 9


class Kind(NamedTuple):
    """What a line is to FOCUS: category, class, frequency."""

    category: str
    charge_class: str | None
    frequency: str


USAGE = Kind("Usage", None, "Usage-Based")
CREDITED = Kind("Credit", None, "One-Time")
KINDS = {
    FEE: Kind("Purchase", None, "Recurring"), INCLUDED: USAGE, BUFFER: USAGE, OVERAGE: USAGE, OVERAGE_DISCOUNTED: USAGE,
    CREDIT: CREDITED, SLA_CREDIT: CREDITED, CORRECTION: Kind("Adjustment", "Correction", "One-Time"),
}  # fmt: skip


class Priced(NamedTuple):
    """A quantity as a whole number of 10 to the power of minus `digits`, and unit prices in nano-dollars."""

    quantity: int
    digits: int
    unit: str
    list_nanousd: int
    contracted_nanousd: int


def exact(value: int, digits: int) -> Decimal:
    """A whole number of 10 to the power of minus `digits`, without rounding."""
    return Decimal((int(value < 0), tuple(map(int, str(abs(value)))), -digits))


def invoice_id(invoice: Invoice) -> str:
    """The number of an issued invoice, a provisional id for a draft."""
    return invoice.number or f"DRAFT-{invoice.month}-{invoice.tenant}"


def focus_rows(invoice: Invoice, book: PriceBook, version: str) -> list[dict[str, Any]]:
    """The rows of an invoice, priced by the list prices of a book. Raises `UsageError` for a line of no known kind."""
    rows, day = [], 0
    for number, line in enumerate(invoice.lines, 1):
        if line.code not in KINDS:
            raise UsageError(f"invoice {invoice_id(invoice)}, line {number}: no such kind of line as {line.code}")
        first, days = day, _days(invoice, line)
        day += days if line.code == FEE else 0
        if KINDS[line.code] is USAGE and not line.quantity and not line.amount_cents:
            continue
        row = _always(invoice) | _charge(invoice, line, first, days) | _money(invoice, line, book, days)
        rows.append(row | _of_version(invoice, number, version) | _custom(invoice, line, number))
    return rows


def _month_days(month: str) -> int:
    first_ms, after_ms = month_bounds_ms(month)
    return (after_ms - first_ms) // DAY_MS


def _days(invoice: Invoice, line: InvoiceLine) -> int:
    """Days that a fee pays for."""
    return line.days if line.days > 0 else _month_days(invoice.month)


def _always(invoice: Invoice) -> dict[str, Any]:
    first_ms, after_ms = month_bounds_ms(invoice.month)
    return dict.fromkeys(EMPTY) | {
        "BillingAccountId": invoice.tenant, "BillingAccountName": invoice.customer, "BillingCurrency": invoice.currency,
        "BillingPeriodStart": _time(first_ms), "BillingPeriodEnd": _time(after_ms), "InvoiceId": invoice_id(invoice),
        "InvoiceIssuerName": invoice.seller, "PricingCurrency": invoice.currency, "ServiceCategory": CATEGORY,
        "ServiceName": SERVICE, "ServiceSubcategory": SUBCATEGORY,
    }  # fmt: skip


def _of_version(invoice: Invoice, number: int, version: str) -> dict[str, Any]:
    """What 1.2 and later versions name differently. Who hosts the platform is not known to an invoice."""
    if version == "1.2":
        return {"ProviderName": invoice.seller, "PublisherName": invoice.seller}
    detail = f"{invoice_id(invoice)}-{number:03d}"
    return {"ServiceProviderName": invoice.seller, "HostProviderName": None, "InvoiceDetailId": detail}


def _time(ms: int) -> str:
    return rfc3339(ms).replace(".000Z", "Z")


def _charge(invoice: Invoice, line: InvoiceLine, first_day: int, days: int) -> dict[str, Any]:
    """What was charged and for when: a fee's own days, a correction's own month, else the invoice's month."""
    kind = KINDS[line.code]
    since_ms, until_ms = month_bounds_ms(invoice.month)
    if line.code == FEE:
        since_ms += first_day * DAY_MS
        until_ms = since_ms + days * DAY_MS
    elif line.code == CORRECTION:
        since_ms, until_ms = month_bounds_ms(_corrected(invoice, line))
    return {
        "ChargeCategory": kind.category, "ChargeClass": kind.charge_class, "ChargeDescription": line.description,
        "ChargeFrequency": kind.frequency, "ChargePeriodStart": _time(since_ms), "ChargePeriodEnd": _time(until_ms),
    }  # fmt: skip


def _corrected(invoice: Invoice, line: InvoiceLine) -> str:
    """The month that a correction is of, by the number of the invoice that it corrects."""
    month = (line.reference or "").removeprefix("INV-")[: len("YYYY-MM")]
    return month if len(month) == len("YYYY-MM") and month[:4].isdecimal() and month[5:].isdecimal() else invoice.month


def _money(invoice: Invoice, line: InvoiceLine, book: PriceBook, days: int) -> dict[str, Any]:
    billed, kind = exact(line.amount_cents, 2), KINDS[line.code]
    priced = _priced(invoice, line, book, days)
    if priced is None:
        flat = dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), billed)
        return flat | dict.fromkeys(PRICE_COLUMNS)
    quantity, digits = priced.quantity, priced.digits + NANO
    used = quantity if kind is USAGE else None
    plan = line.plan or invoice.plan
    sku = f"{plan}-plan" if line.code == FEE else "compute-units"
    return {
        "BilledCost": billed, "EffectiveCost": billed,
        "ContractedCost": exact(quantity * priced.contracted_nanousd, digits),
        "ListCost": exact(quantity * priced.list_nanousd, digits),
        "ContractedUnitPrice": exact(priced.contracted_nanousd, NANO),
        "ListUnitPrice": exact(priced.list_nanousd, NANO),
        "PricingQuantity": exact(quantity, priced.digits), "PricingUnit": priced.unit, "PricingCategory": "Standard",
        "ConsumedQuantity": None if used is None else exact(used, priced.digits),
        "ConsumedUnit": None if used is None else priced.unit,
        "SkuId": sku, "SkuMeter": "Plan" if line.code == FEE else "Compute Units",
        "SkuPriceId": f"{invoice.price_book}/{plan}/{line.code}",
        "SkuPriceDetails": msgspec.json.encode({"x_Plan": plan, "x_PriceBook": invoice.price_book}).decode(),
    }  # fmt: skip


PRICE_COLUMNS = (
    "ContractedUnitPrice", "ListUnitPrice", "PricingQuantity", "PricingUnit", "PricingCategory", "ConsumedQuantity",
    "ConsumedUnit", "SkuId", "SkuMeter", "SkuPriceId", "SkuPriceDetails",
)  # fmt: skip


def _priced(invoice: Invoice, line: InvoiceLine, book: PriceBook, days: int) -> Priced | None:
    """Quantity and prices of a line; None for one that is an amount alone."""
    plan = book.plans.get(line.plan)
    if line.code == FEE:
        share = Fraction(days, _month_days(invoice.month))
        listed = plan.fee_microusd if plan else None
        return Priced(
            half_up(share * 10**SHARE_DIGITS), SHARE_DIGITS, "Month",
            *(price * 1000 for price in _fee_prices(listed, line.amount_cents, share)),
        )  # fmt: skip
    if KINDS[line.code] is not USAGE:
        return None
    contracted = listed = line.unit_price_nanousd
    if plan and plan.overage_allowed and line.code in (OVERAGE, OVERAGE_DISCOUNTED):
        off = plan.discount_percent if line.code == OVERAGE_DISCOUNTED else 0
        listed = plan.overage_nanousd * (100 - off) // 100
    return Priced(line.quantity, 0, UNIT, listed, contracted)


def _fee_prices(listed: int | None, cents: int, share: Fraction) -> tuple[int, int]:
    """A month's fee in micro-dollars, by the list and as agreed: the list's, where it explains the amount."""
    if listed is not None and abs(share * listed - cents * MICROUSD_PER_CENT) * 2 <= MICROUSD_PER_CENT:
        return listed, listed
    agreed = half_up(cents * MICROUSD_PER_CENT / share)
    return agreed if listed is None else listed, agreed


def _custom(invoice: Invoice, line: InvoiceLine, number: int) -> dict[str, Any]:
    return {
        "x_InvoiceState": invoice.state, "x_InvoiceTotal": exact(invoice.total_cents, 2), "x_LineCode": line.code,
        "x_LineNumber": exact(number, 0), "x_Plan": line.plan or invoice.plan, "x_PriceBook": invoice.price_book,
    }  # fmt: skip


def all_rows(invoices: Sequence[Invoice], book: PriceBook, version: str) -> list[dict[str, Any]]:
    """The rows of many invoices, in their order."""
    return [row for invoice in invoices for row in focus_rows(invoice, book, version)]
