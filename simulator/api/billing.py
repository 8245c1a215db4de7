"""`/v1/billing`: what a tenant has used, by day, and its issued invoices with their lines (S6)."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from simulator.api.contract.inputs import read_query
from simulator.api.contract.operation import Answer, Operation
from simulator.api.deps import ApiDeps, answer
from simulator.gateway.context import tenant_of
from simulator.store.port import Row, Tx
from zjops.domain.clock import month_bounds_ms, rfc3339, utc_date, utc_month
from zjops.domain.closed import closed_months, issued_to
from zjops.domain.errors import FieldError, Problem
from zjops.domain.invoices import Invoice
from zjops.domain.wire_billing import (
    InvoiceLineView,
    InvoicePage,
    InvoiceQuery,
    InvoiceView,
    UsageDay,
    UsageQuery,
    UsageView,
)

BASE = "/v1/billing"
DAY_MS = 86_400_000


class BillingRoutes:
    """Handlers of the billing resource."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps, self._store = deps, deps.store

    def operations(self) -> list[Operation]:
        """The operations of this resource."""
        return [
            Operation(
                id="getUsage", method="GET", path=BASE + "/usage", call=self.usage, tag="billing", scope="billing:read",
                query=UsageQuery, answers=(Answer(200, "The month's usage.", UsageView),),
                problems=("invalid-parameter",),
            ),
            Operation(
                id="listInvoices", method="GET", path=BASE + "/invoices", call=self.invoices, tag="billing",
                scope="billing:read", query=InvoiceQuery, answers=(Answer(200, "Issued invoices.", InvoicePage),),
                problems=("invalid-parameter",),
            ),
        ]  # fmt: skip

    async def usage(self, request: Request) -> Response:
        """Jobs and compute units of a month by day, as the counters stand now (S6).

        Both belong to the UTC day and month in which a job was accepted (C76). Held units are those of jobs that have
        not ended; only charged ones are billed.
        """
        now = self._deps.clock.now_ms()
        month = read_query(request, UsageQuery).month or utc_month(now)
        if month > utc_month(now):
            why = f"is in the future: it is {utc_month(now)}"
            raise Problem("invalid-parameter", f"month: {why}", errors=[FieldError("#/month", why)])
        tenant = tenant_of(request.scope)
        first_ms, after_ms = month_bounds_ms(month)
        days = [utc_date(at) for at in range(first_ms, min(after_ms, now + 1), DAY_MS)]

        def read(tx: Tx) -> tuple[Row | None, list[Row]]:
            total = tx.one("usage_get", tenant=tenant.tenant, month=month)
            return total, tx.all("usage_days_of", tenant=tenant.tenant, first=days[0], last=days[-1])

        total, rows = await self._store.read(read)
        by_day, total = {row["day"]: row for row in rows}, total or {"held": 0, "charged": 0, "released": 0}
        return answer(UsageView(
            tenant_id=tenant.tenant, month=month, plan=tenant.plan.name, period_start=rfc3339(first_ms),
            period_end=rfc3339(after_ms), as_of=rfc3339(now), compute_units_limit=tenant.plan.compute_units,
            compute_units_held=total["held"], compute_units_charged=total["charged"],
            compute_units_released=total["released"], days=[_day(day, by_day.get(day)) for day in days],
        ))  # fmt: skip

    async def invoices(self, request: Request) -> Response:
        """Issued invoices with their lines, newest first (S6).

        An invoice stands here once its month was closed, and never changes; `getUsage` tells of a month that is open.
        """
        query, tenant = read_query(request, InvoiceQuery), tenant_of(request.scope).tenant
        return answer(await self._deps.offload(_page, self._deps.billing, tenant, query))


def _page(folder: Path, tenant: str, query: InvoiceQuery) -> InvoicePage:
    months = [
        month for month in reversed(closed_months(folder))
        if query.month in (None, month) and (query.before is None or month < query.before)
    ]  # fmt: skip
    found: list[InvoiceView] = []
    for month in months:
        invoice = issued_to(folder, month, tenant)
        if invoice is None:
            continue
        if len(found) == query.limit:
            return InvoicePage(invoices=found, next=found[-1].month)
        found.append(_invoice(invoice))
    return InvoicePage(invoices=found, next=None)


def _invoice(made: Invoice) -> InvoiceView:
    lines = [
        InvoiceLineView(
            number=number, code=line.code, description=line.description, quantity=line.quantity, unit=line.unit,
            unit_price_nanousd=line.unit_price_nanousd, amount_cents=line.amount_cents, reference=line.reference,
        )
        for number, line in enumerate(made.lines, 1)
    ]  # fmt: skip
    return InvoiceView(
        number=made.number or "", state=made.state, month=made.month, period_start=made.period_start,
        period_end=made.period_end, issue_date=made.issue_date or "", due_date=made.due_date or "", seller=made.seller,
        customer=made.customer, plan=made.plan, price_book=made.price_book, currency=made.currency, tax=made.tax,
        as_of=rfc3339(made.watermark_ms), jobs=made.jobs, compute_units_included=made.units.included,
        compute_units_buffer=made.units.buffer, compute_units_overage=made.units.overage, lines=lines,
        total_cents=made.total_cents,
    )  # fmt: skip


def _day(day: str, row: Row | None) -> UsageDay:
    if row is None:
        return UsageDay(
            date=day, jobs=0, charged_jobs=0, compute_units_held=0, compute_units_charged=0, compute_units_released=0
        )
    return UsageDay(
        date=day, jobs=row["jobs"], charged_jobs=row["charged_jobs"], compute_units_held=row["held"],
        compute_units_charged=row["charged"], compute_units_released=row["released"],
    )  # fmt: skip
