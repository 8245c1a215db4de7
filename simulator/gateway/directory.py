"""Tenants with their plan and this month's units, remembered for a second so that reads do not burden the store."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from simulator.gateway.headers import unit_headers
from simulator.intake.records import Tenant
from simulator.store.port import Store
from zjops.domain.clock import Clock, month_bounds_ms, utc_month
from zjops.domain.plans import price_book

REMEMBER_S = 1.0


class TenantState(NamedTuple):
    """A tenant, its units used this month, and when the month ends (Unix ms)."""

    tenant: Tenant
    used: int
    reset_ms: int
    headers: dict[str, str]


def tenant_from(row: dict[str, Any]) -> Tenant:
    """A tenant from its row, negotiated values applied."""
    overrides = msgspec.json.decode(row["overrides"], type=dict[str, Any])
    return Tenant(row["tenant"], price_book().plan(row["plan"], overrides), row["status"])


class Directory:
    """Looks tenants up."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[float, TenantState]] = {}
        self._asked: dict[str, asyncio.Task[TenantState | None]] = {}

    def forget(self, tenant: str) -> None:
        """Read a tenant anew at the next request."""
        self._known.pop(tenant, None)
        # What is being read may be older than what made it be forgotten.
        self._asked.pop(tenant, None)

    def remembered(self, tenant: str) -> TenantState | None:
        """A tenant's state when it was read within the last second, else None."""
        known = self._known.get(tenant)
        return known[1] if known and self._clock.monotonic() - known[0] < REMEMBER_S else None

    async def get(self, tenant: str) -> TenantState | None:
        """A tenant's state, at most a second old; None when there is no such tenant."""
        known = self.remembered(tenant)
        if known is not None:
            return known
        # Everyone who comes while it is read waits for the same answer.
        asked = self._asked.get(tenant)
        if asked is None:
            asked = self._asked[tenant] = asyncio.create_task(self._read(tenant), name="tenant")
            asked.add_done_callback(lambda task: self._answered(tenant, task))
        return await asyncio.shield(asked)

    def _answered(self, tenant: str, task: asyncio.Task[TenantState | None]) -> None:
        if self._asked.get(tenant) is task:
            del self._asked[tenant]
        if not task.cancelled():
            # Whoever asked may have gone away.
            task.exception()

    async def _read(self, tenant: str) -> TenantState | None:
        now = self._clock.monotonic()
        month = utc_month(self._clock.now_ms())
        row = await self._store.read(lambda tx: tx.one("tenant_usage", tenant=tenant, month=month))
        if row is None:
            return None
        found, used, reset_ms = tenant_from(row), row["held"] + row["charged"], month_bounds_ms(month)[1]
        state = TenantState(found, used, reset_ms, unit_headers(found.plan, used, reset_ms))
        if self._asked.get(tenant) is asyncio.current_task():
            self._known[tenant] = (now, state)
        return state
