"""From the log to a tenant's month: what was charged, and the invoice that follows."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.invoices import Invoice, draft_invoice
from zjops.domain.plans import price_book


def invoice_for(log_dir: Path, tenant: str, month: str) -> Invoice:
    """The draft invoice of a tenant's month (UTC, by acceptance: C76). Raises `UsageError`, `UnreachableError`."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise UsageError(f"a month is written YYYY-MM, not {month}")
    first_ms, after_ms = month_bounds_ms(month)
    with Warehouse(log_dir) as warehouse:
        span = {"tenant": tenant, "first_ms": first_ms, "after_ms": after_ms}
        usage = warehouse.rows("usage", **span)[0]
        plan = warehouse.rows("plan", **span)[0]["plan"]
        chosen = warehouse.rows("overrides", tenant=tenant, after_ms=after_ms)[0]["chosen"]
    if plan is None:
        raise UnreachableError(f"the log holds nothing of tenant {tenant} in {month}; see: zjops tenants list")
    overrides = msgspec.json.decode(chosen)["overrides"] if chosen else {}
    book = price_book()
    return draft_invoice(
        book.plan(plan, overrides), tenant, month, usage["compute_units"], usage["jobs"], book.version
    )  # fmt: skip
