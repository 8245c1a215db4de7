"""Tenants with what they used of their plan, and when they will be limited. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zjops.domain.errors import UsageError
from zjops.domain.plans import Plan, price_book, quota_limit, split_units
from zjops.domain.wire import TenantView

HOUR_MS = 3_600_000


class TenantRow(NamedTuple):
    """A tenant; units are compute units of this month, `limited_ms` is how long until it is limited at its rate."""

    view: TenantView
    used: int
    buffer: int
    overage: int
    most: int
    per_hour: float | None
    limited_ms: float | None

    @property
    def share(self) -> float:
        """What is used of the plan's units, 1 for all."""
        return self.used / self.view.compute_units_limit if self.view.compute_units_limit else 0.0

    @property
    def word(self) -> str:
        """How it stands."""
        if self.view.status != "active":
            return self.view.status
        if self.used >= self.most:
            return "limited"
        if self.overage:
            return "overage"
        return "buffer" if self.used > self.view.compute_units_limit else "ok"


def tenant_rows(
    views: Sequence[TenantView], before: Sequence[TenantView], between_ms: int
) -> list[TenantRow]:  # fmt: skip
    """Rows by how soon each is limited; `before` is what was read so many ms earlier."""
    known = {view.tenant_id: view for view in before}
    rows = [_row(view, known.get(view.tenant_id), between_ms) for view in views]
    return sorted(rows, key=lambda row: (row.limited_ms is None, row.limited_ms or 0, -row.share, row.view.tenant_id))


def _row(view: TenantView, before: TenantView | None, between_ms: int) -> TenantRow:
    used = view.compute_units_charged + view.compute_units_held
    plan = _plan(view)
    most = quota_limit(plan)[0] if plan else view.compute_units_limit
    per_ms = None
    if before is not None and before.month == view.month and between_ms > 0:
        per_ms = max(0, view.compute_units_charged - before.compute_units_charged) / between_ms
    limited = None
    if used >= most:
        limited = 0.0
    elif per_ms:
        limited = (most - used) / per_ms
    overage = split_units(plan, used).overage if plan else 0
    return TenantRow(
        view,
        used,
        plan.buffer_units if plan else 0,
        overage,
        most,
        None if per_ms is None else per_ms * HOUR_MS,
        limited,
    )


def _plan(view: TenantView) -> Plan | None:
    try:
        return price_book().plan(view.plan, view.overrides)
    except UsageError:
        # A platform with other plans than this price book: its own limit is all that is known.
        return None
