"""`/v1/billing`: what a tenant has used, by day (S6)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from simulator.api.contract.inputs import read_query
from simulator.api.contract.operation import Answer, Operation
from simulator.api.deps import ApiDeps, answer
from simulator.gateway.context import tenant_of
from simulator.store.port import Row, Tx
from zjops.domain.clock import month_bounds_ms, rfc3339, utc_date, utc_month
from zjops.domain.errors import FieldError, Problem
from zjops.domain.wire_billing import UsageDay, UsageQuery, UsageView

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


def _day(day: str, row: Row | None) -> UsageDay:
    if row is None:
        return UsageDay(
            date=day, jobs=0, charged_jobs=0, compute_units_held=0, compute_units_charged=0, compute_units_released=0
        )
    return UsageDay(
        date=day, jobs=row["jobs"], charged_jobs=row["charged_jobs"], compute_units_held=row["held"],
        compute_units_charged=row["charged"], compute_units_released=row["released"],
    )  # fmt: skip
