"""Models of money: what a tenant has used (S6), and credits that operators grant (S11)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from zjops.domain.wire import Why, Wire

Month = Annotated[str, Meta(pattern="^2[0-9]{3}-(0[1-9]|1[0-2])$")]
"""A billing period: a UTC month `YYYY-MM` (C76)."""
CREDIT_MOST_MICROUSD = 10**12
"""A million dollars: more in one credit is a slip of the hand."""


class CreditGrant(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credit for a tenant: how many micro-dollars, on the invoice of which month, and why; for one job, or for none.

    Where that invoice was issued already, the credit is a note on the next one (C76).
    """

    amount_microusd: Annotated[int, Meta(ge=1, le=CREDIT_MOST_MICROUSD)]
    month: Month
    reason: Why
    job_id: Annotated[str, Meta(max_length=40)] | None = None


class CreditView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A credit that was granted. `creditId` is the Idempotency-Key of the request that granted it."""

    number: int
    credit_id: str
    tenant_id: str
    amount_microusd: int
    month: str
    reason: str
    job_id: str | None
    granted_by: str
    granted_at: str


class CreditQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Credits of a tenant, of a month if one is given, after a number."""

    month: Month | None = None
    after: Annotated[int, Meta(ge=0, le=2**53)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class CreditPage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Credits in the order of their grants; `next` is the number to go on from."""

    credits: list[CreditView]
    next: int | None


class UsageQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which month, the current one by default."""

    month: Month | None = None


class UsageDay(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What was accepted on a UTC day: jobs, those of them that are charged, and their compute units."""

    date: Annotated[str, Meta(extra_json_schema={"format": "date"})]
    jobs: int
    charged_jobs: int
    compute_units_held: int
    compute_units_charged: int
    compute_units_released: int


class UsageView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A tenant's month by day, every day up to `asOf`; the units of the days add to those of the month.

    Plan and limit are the tenant's of today.
    """

    tenant_id: str
    month: str
    plan: str
    period_start: str
    period_end: str
    as_of: str
    compute_units_limit: int
    compute_units_held: int
    compute_units_charged: int
    compute_units_released: int
    days: list[UsageDay]


class InvoiceQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Issued invoices of one month, or of those before one, newest first."""

    month: Month | None = None
    before: Month | None = None
    limit: Annotated[int, Meta(ge=1, le=120)] = 24


class InvoiceLineView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One line: `quantity` of `unit` at nano-dollars a unit (0 for a flat amount), and the amount in cents.

    `reference` is the credit or the corrected invoice that a note rests on.
    """

    number: int
    code: str
    description: str
    quantity: int
    unit: str
    unit_price_nanousd: int
    amount_cents: int
    reference: str | None


class InvoiceView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """An issued invoice, as it will always be; what came later is a note on the next one (C76). Tax is excluded."""

    number: str
    state: str
    month: str
    period_start: str
    period_end: str
    issue_date: str
    due_date: str
    seller: str
    customer: str
    plan: str
    price_book: str
    currency: str
    tax: str
    as_of: str
    jobs: int
    compute_units_included: int
    compute_units_buffer: int
    compute_units_overage: int
    lines: list[InvoiceLineView]
    total_cents: int


class InvoicePage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Invoices, newest first; `next` is the month before which to go on, null at the end."""

    invoices: list[InvoiceView]
    next: str | None
