"""Tenants: what they used of their plans, and who is limited next."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult

from zjops.feed.readings import TENANTS, TenantView
from zjops.recording.reader import Recording
from zjops.tui.figures import bar, count, short, span
from zjops.tui.ink import BAD, BOLD, DIM, GOOD, LINK, PLAIN, WARN
from zjops.tui.moment import Instant
from zjops.tui.tenantrows import TenantRow, tenant_rows
from zjops.tui.views.base import View
from zjops.tui.widgets import Column, Row, Table

COLUMNS = (
    Column("tenant", 14, flex=True), Column("plan", 10), Column("status", 11), Column("used of plan", 15),
    Column("units", 8, right=True), Column("of", 8, right=True, least=90), Column("buffer", 8, right=True, least=110),
    Column("overage", 8, right=True, least=110), Column("per hour", 8, right=True, least=100),
    Column("limited in", 10, right=True, least=76), Column("active", 6, right=True, least=100),
)  # fmt: skip
STATUS = {
    "ok": ("● ok", GOOD),
    "buffer": ("▲ buffer", WARN),
    "overage": ("▲ overage", WARN),
    "limited": ("✖ limited", BAD),
}
BAR = 8


class Tenants(View):
    """All tenants, next to be limited first."""

    NAME, TITLE = "tenants", "tenants"
    HINTS = (("Enter", "jobs of a tenant"), ("^Z", "faults only"), ("c", "copy name"), ("{ }", "window of the rate"))

    def compose(self) -> ComposeResult:
        yield Table(COLUMNS, id="tenants-table", empty="tenants were not read yet")

    def read(self, recording: Recording, instant: Instant) -> Sequence[TenantRow]:
        now = recording.reading(TENANTS, instant.at_ms, list[TenantView])
        if now is None:
            return []
        then = recording.reading(TENANTS, instant.first_ms, list[TenantView])
        between = instant.window_s * 1000
        if then is None and (first := recording.first_reading(TENANTS, list[TenantView])) is not None:
            then, between = first, instant.at_ms - first[0]
        return tenant_rows(now[1], [] if then is None else then[1], between)

    def show(self, found: Sequence[TenantRow], instant: Instant) -> None:
        rows = [_row(row) for row in found if not self.faults_only or row.word != "ok"]
        self.query_one(Table).put(rows, empty="no tenant is limited or above its plan" if self.faults_only else None)

    def on_table_opened(self, event: Table.Opened) -> None:
        """The jobs of the tenant."""
        event.stop()
        self.app.open_view("jobs", f"tenant:{event.key}")  # type: ignore[attr-defined]

    def copied(self) -> str | None:
        row = self.query_one(Table).chosen
        return row.key if row else None


def _row(row: TenantRow) -> Row:
    view, status = row.view, STATUS.get(row.word, (f"⊘ {row.word}", BAD))
    left = "now" if row.limited_ms == 0 else span(row.limited_ms) if row.limited_ms is not None else "–"
    share = f"{bar(row.share, BAR)} {min(9_999, round(row.share * 100)):>4} %"
    per_hour = short(None if row.per_hour is None else round(row.per_hour))
    return Row(view.tenant_id, (
        (view.tenant_id, LINK), (view.plan, PLAIN), status, (share, status[1]), (short(row.used), BOLD),
        (short(view.compute_units_limit), DIM), (short(row.buffer), DIM),
        (short(row.overage), WARN if row.overage else DIM), (per_hour, PLAIN),
        (left, status[1] if left != "–" else DIM), (count(view.active_jobs), PLAIN),
    ))  # fmt: skip
