"""From a line of an invoice to the events behind it, and to the batches and transactions that confirm them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from zjops.analytics.billing import read_month
from zjops.analytics.issued import issued_of
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms, rfc3339
from zjops.domain.closed import billing_dir
from zjops.domain.errors import UsageError
from zjops.domain.ids import job_id
from zjops.domain.invoices import BUFFER, CORRECTION, CREDIT, FEE, INCLUDED, SLA_CREDIT, Invoice, InvoiceLine
from zjops.domain.plans import PriceBook
from zjops.domain.spans import usage_spans


class Explained(msgspec.Struct):
    """A line, in words what it rests on, and the rows: jobs with their units, or acts."""

    line: InvoiceLine
    text: str
    rows: list[dict[str, Any]]


def explain(warehouse: Warehouse, invoice: Invoice, number: int, book: PriceBook, now_ms: int) -> Explained:
    """Explain line `number`, counted from 1. Raises `UsageError` for a line that is not there."""
    if not 1 <= number <= len(invoice.lines):
        raise UsageError(f"this invoice has lines 1 to {len(invoice.lines)}, not {number}")
    line = invoice.lines[number - 1]
    if line.code in (FEE, CREDIT):
        return _acts(warehouse, invoice, line)
    if line.code == SLA_CREDIT:
        return _measured(warehouse, invoice, line)
    if line.code == CORRECTION:
        return _late(warehouse, invoice, line)
    return _units(warehouse, invoice, line, book, now_ms)


def _units(warehouse: Warehouse, invoice: Invoice, line: InvoiceLine, book: PriceBook, now_ms: int) -> Explained:
    usage = read_month(warehouse, invoice.month, book, now_ms=now_ms, tenant=invoice.tenant).usage
    spans = usage_spans(usage[0].terms) if usage else []
    wanted = [s for s in spans if s.code == line.code and (s.code in (INCLUDED, BUFFER) or s.plan == line.plan)]
    first_ms, after_ms = month_bounds_ms(invoice.month)
    rows = warehouse.rows(
        "explain_units", tenant=invoice.tenant, first_ms=first_ms, after_ms=after_ms,
        starts=[s.start for s in wanted], ends=[s.end for s in wanted],
    )  # fmt: skip
    told = _jobs(rows)
    counted = sum(row["units"] for row in told)
    text = f"{counted:,} units of {len(told):,} jobs, in the order of their acceptance"
    if counted != line.quantity:
        text += f"; the line bills {line.quantity:,}: the log has changed since"
    return Explained(line, text, told)


def _jobs(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "job": job_id(bytes(row["job_id"])), "accepted": rfc3339(row["accepted_at"]), "units": row["counted"],
            "of": row["compute_units"], "event": str(uuid.UUID(bytes=bytes(row["event_id"]))), "type": row["type"],
            "sequence": row["stream_seq"], "batch": row.get("batch_id"), "leaf": row.get("leaf_index"),
            "chain sequence": row.get("chain_sequence"),
            "transaction": "0x" + bytes(row["tx_hash"]).hex() if row.get("tx_hash") else None,
        }
        for row in rows
    ]  # fmt: skip


def _acts(warehouse: Warehouse, invoice: Invoice, line: InvoiceLine) -> Explained:
    rows = warehouse.rows("explain_acts", tenant=invoice.tenant, after_ms=month_bounds_ms(invoice.month)[1])
    kinds = ("credit",) if line.code == CREDIT else ("tenant", "plan")
    chosen = [row for row in rows if row["kind"] in kinds and (line.code != CREDIT or line.reference in row["values"])]
    told = [
        {
            "time": rfc3339(row["time"]), "who": row["actor"], "action": row["action"], "reason": row["reason"],
            "values": row["values"], "event": str(uuid.UUID(bytes=bytes(row["event_id"]))),
        }
        for row in chosen
    ]  # fmt: skip
    text = "what set this plan" if line.code == FEE else "who granted this credit"
    return Explained(line, text if told else "no act: the plan is that under which the jobs were accepted", told)


def _measured(warehouse: Warehouse, invoice: Invoice, line: InvoiceLine) -> Explained:
    first_ms, after_ms = month_bounds_ms(invoice.month)
    rows = warehouse.rows("availability", first_ms=first_ms, after_ms=after_ms)
    told = [row for row in rows if row["source"] == "prober" or row["plan"] == line.plan]
    return Explained(line, "requests of the month, and those that were not a 5xx or timeout", told)


def _late(warehouse: Warehouse, invoice: Invoice, line: InvoiceLine) -> Explained:
    month = (line.reference or "")[len("INV-") :][: len("YYYY-MM")]
    former = issued_of(billing_dir(warehouse.log_dir), month).get(invoice.tenant)
    if former is None:
        raise UsageError(f"{line.reference} is not in {billing_dir(warehouse.log_dir)}")
    first_ms, after_ms = month_bounds_ms(month)
    rows = warehouse.rows(
        "explain_late", tenant=invoice.tenant, first_ms=first_ms, after_ms=after_ms, through=former.through_sequence
    )
    told = _jobs(rows)
    return Explained(line, f"{len(told):,} jobs of {month} that the log told of after {former.number} was made", told)
