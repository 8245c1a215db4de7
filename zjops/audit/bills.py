"""An invoice derived again: its lines from raw events, and the usage behind them from what the chain was told (C72)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.issued import issued_of
from zjops.analytics.warehouse import Warehouse
from zjops.audit.batches import Chain, leaf_of
from zjops.audit.records import Export
from zjops.domain.clock import month_bounds_ms
from zjops.domain.closed import billing_dir
from zjops.domain.ids import job_id
from zjops.domain.invoices import CORRECTION, ISSUED, SLA_CREDIT, Invoice, InvoiceLine
from zjops.domain.merkle import Tree
from zjops.domain.plans import PriceBook
from zjops.domain.wire import ExportRow

SHOWN = 3
APART = frozenset({CORRECTION, SLA_CREDIT})
"""Lines that rest on other months, or on the request log, and are not derived from this month's events."""


class Check(NamedTuple):
    """One thing that was looked at: whether it holds, and what was seen."""

    name: str
    ok: bool
    text: str


def check_lines(invoice: Invoice, warehouse: Warehouse, book: PriceBook, now_ms: int) -> list[Check]:
    """The sum of the lines, and each line that usage gives, against the same month priced anew."""
    total = sum(line.amount_cents for line in invoice.lines)
    checks = [Check("sum", total == invoice.total_cents, f"the lines add up to {total} cents of {invoice.total_cents}")]
    usage = read_month(warehouse, invoice.month, book, now_ms=now_ms, tenant=invoice.tenant)
    drafts = draft_invoices(usage, book)
    if not drafts:
        return [*checks, Check("usage", False, f"the log knows no tenant {invoice.tenant} in {invoice.month}")]
    told, derived = _own(invoice), _own(drafts[0])
    wrong = [text for number, text in _differences(told, derived)]
    text = f"{len(derived)} lines from {drafts[0].jobs:,} charged jobs, {drafts[0].units.total:,} units"
    return [*checks, Check("usage", not wrong, "; ".join(wrong[:SHOWN]) or text)]


def _own(invoice: Invoice) -> list[InvoiceLine]:
    return [line for line in invoice.lines if line.code not in APART]


def _differences(told: Sequence[InvoiceLine], derived: Sequence[InvoiceLine]) -> list[tuple[int, str]]:
    found = []
    for number in range(max(len(told), len(derived))):
        one = told[number] if number < len(told) else None
        two = derived[number] if number < len(derived) else None
        if one != two:
            found.append((number, f"line {number + 1}: the invoice has {_said(one)}, the events give {_said(two)}"))
    return found


def _said(line: InvoiceLine | None) -> str:
    if line is None:
        return "nothing"
    return f"{line.code} {line.quantity} {line.unit} at {line.unit_price_nanousd} for {line.amount_cents} cents"


def check_issued(invoice: Invoice, warehouse: Warehouse) -> list[Check]:
    """An issued invoice against the copy that was frozen when its month was closed."""
    if invoice.state != ISSUED:
        return []
    frozen = issued_of(billing_dir(warehouse.log_dir), invoice.month).get(invoice.tenant)
    if frozen is None:
        return [Check("issued", False, f"{invoice.month} was not closed here, or without {invoice.tenant}")]
    same = msgspec.to_builtins(frozen) == msgspec.to_builtins(invoice)
    text = "as it was issued" if same else f"is not what was issued as {frozen.number}"
    return [Check("issued", same, text)]


def billed_jobs(invoice: Invoice, warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    """The charged jobs behind an invoice, by their ids, with what the chain was told of their usage."""
    first_ms, after_ms = month_bounds_ms(invoice.month)
    rows = warehouse.rows("billed_jobs", tenant=invoice.tenant, first_ms=first_ms, after_ms=after_ms)
    return {job_id(bytes(row["job_id"])): row for row in rows}


def check_anchors(
    invoice: Invoice, warehouse: Warehouse, export: Export, chain: Chain, left_out: int = 0
) -> list[Check]:  # fmt: skip
    """The usage of every charged job against the chain: leaves of what the log bills, roots as the contract has them.

    Salts and results come from the export, size, units and time from the log; a batch whose root comes out the same was
    told of exactly this usage. `left_out` is how many of the invoice's jobs the log at hand does not have, since they
    are synthetic and stand on no chain.
    """
    billed = billed_jobs(invoice, warehouse)
    missing = [name for name in billed if name not in export.jobs]
    if missing:
        return [Check("chain", False, f"{len(missing)} billed jobs are not in the store, first {missing[0]}")]
    members: dict[int, list[ExportRow]] = defaultdict(list)
    for row in export.jobs.values():
        if row.batch_id is not None:
            members[row.batch_id].append(row)
    wanted = sorted({batch for name in billed if (batch := export.jobs[name].batch_id) is not None})
    wrong = [batch for batch in wanted if not _anchored(members[batch], billed, chain)]
    checked = sum(export.jobs[name].batch_id is not None for name in billed)
    if wrong:
        first = next(name for name in billed if export.jobs[name].batch_id == wrong[0])
        return [Check("chain", False, f"batch {wrong[0]} was told of other usage than is billed, among it {first}")]
    text = f"the usage of {checked:,} jobs in {len(wanted)} batches is what the contract was told"
    left = len(billed) - checked
    text += f"; {left} were cancelled or are not anchored yet" if left else ""
    return [Check("chain", True, text + (f"; {left_out:,} synthetic jobs are on no chain" if left_out else ""))]


def _anchored(rows: Sequence[ExportRow], billed: Mapping[str, Mapping[str, Any]], chain: Chain) -> bool:
    ordered = sorted(rows, key=lambda row: row.chain_sequence or 0)
    leaves = [leaf_of(_as_billed(row, billed.get(row.job_id))).hash() for row in ordered]
    return chain.root_of(ordered[0].chain_sequence or 0) == Tree(leaves).root


def _as_billed(row: ExportRow, logged: Mapping[str, Any] | None) -> ExportRow:
    if logged is None:
        return row
    return msgspec.structs.replace(
        row, tenant=logged["tenant"], payload_bytes=logged["payload_bytes"], compute_units=logged["compute_units"],
        accepted_at=logged["accepted_at"],
    )  # fmt: skip
