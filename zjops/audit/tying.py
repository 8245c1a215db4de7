"""The tie-out of every month of the log: jobs, units, dollars and confirmations, each an identity (see `tieout`)."""

from __future__ import annotations

from pathlib import Path

from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.tieout import TieOut, tie_out
from zjops.analytics.warehouse import Warehouse
from zjops.audit.findings import Finding
from zjops.domain.clock import month_bounds_ms
from zjops.domain.errors import UsageError
from zjops.domain.plans import price_book

TIE_OUT = "tie_out"


def check_months(log_dir: Path, through: int | None = None) -> tuple[list[TieOut], list[Finding]]:
    """Every month's identities, with a finding for each that does not hold and each job that fits none.

    Of the log up to an event's number, if one is given.
    """
    tied: list[TieOut] = []
    found: list[Finding] = []
    book = price_book()
    with Warehouse(log_dir, whole=False, through=through) as warehouse:
        for row in warehouse.rows("months"):
            month = row["month"]
            try:
                drafts = draft_invoices(read_month(warehouse, month, book, now_ms=month_bounds_ms(month)[1]), book)
            except UsageError as exc:
                found.append(Finding(TIE_OUT, "-", f"{month}: {exc}"))
                continue
            tied.append(tie_out(warehouse, month, drafts))
            found += _faults(tied[-1])
    return tied, found


def _faults(tied: TieOut) -> list[Finding]:
    broken = [Finding(TIE_OUT, "-", f"{tied.month}: {i.text()}") for i in tied.identities if i.residual]
    return broken + [Finding(TIE_OUT, name, f"{tied.month}: {why}") for name, why in tied.wrong]
