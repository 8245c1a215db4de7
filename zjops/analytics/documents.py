"""Invoices as people read them: rows for a table, Markdown, one HTML file that prints."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from zjops import __version__
from zjops.domain.clock import rfc3339
from zjops.domain.invoices import Invoice, InvoiceLine, dollars


def unit_price(line: InvoiceLine) -> str:
    """Nano-dollars a unit as dollars, e.g. `$0.000005`; nothing for a flat amount."""
    if not line.unit_price_nanousd:
        return ""
    whole, rest = divmod(line.unit_price_nanousd, 10**9)
    return f"${whole}.{rest:09d}".rstrip("0").rstrip(".")


def line_rows(invoice: Invoice) -> list[dict[str, Any]]:
    """The lines of an invoice, numbered from 1, as people read them."""
    return [
        {
            "line": number, "description": line.description, "quantity": f"{line.quantity:,}", "unit": line.unit,
            "unit price": unit_price(line), "amount": dollars(line.amount_cents),
        }
        for number, line in enumerate(invoice.lines, 1)
    ]  # fmt: skip


def flat_rows(invoices: Sequence[Invoice]) -> list[dict[str, Any]]:
    """One row a line over many invoices, as machines read them: cents, nano-dollars, no thousands separators."""
    return [
        {
            "tenant": invoice.tenant, "month": invoice.month, "invoice": invoice.number or "", "state": invoice.state,
            "line": number, "code": line.code, "description": line.description, "plan": line.plan,
            "quantity": line.quantity, "unit": line.unit, "unit_price_nanousd": line.unit_price_nanousd,
            "amount_cents": line.amount_cents, "currency": invoice.currency, "reference": line.reference or "",
        }
        for invoice in invoices
        for number, line in enumerate(invoice.lines, 1)
    ]  # fmt: skip


def summary_rows(invoices: Sequence[Invoice]) -> list[dict[str, Any]]:
    """One row an invoice, with the parts of its total."""
    return [
        {
            "tenant": made.tenant, "plan": made.plan, "jobs": f"{made.jobs:,}",
            "units": f"{made.units.included + made.units.buffer + made.units.overage:,}",
            "fee": dollars(part(made, "plan-fee")),
            "overage": dollars(part(made, "overage") + part(made, "overage-discounted")),
            "credits": dollars(part(made, "credit") + part(made, "sla-credit")),
            "corrections": dollars(part(made, "correction")), "total": dollars(made.total_cents),
        }
        for made in invoices
    ]  # fmt: skip


def part(invoice: Invoice, code: str) -> int:
    """Cents of the lines of one code."""
    return sum(line.amount_cents for line in invoice.lines if line.code == code)


def watermark(invoice: Invoice) -> str:
    """How far the log went when the invoice was made, as a sentence."""
    if not invoice.watermark_ms:
        return "The log is empty."
    return f"The log is complete to {rfc3339(invoice.watermark_ms)}."


def markdown(invoice: Invoice) -> str:
    """An invoice as a Markdown document."""
    facts = [
        ("Invoice", invoice.number or "(draft)"), ("State", invoice.state), ("From", invoice.seller),
        ("To", invoice.customer), ("Plan", invoice.plan),
        ("Period", f"{invoice.period_start} to {invoice.period_end} (UTC)"),
        ("Issued", invoice.issue_date or "not yet"), ("Due", invoice.due_date or "14 days after issue"),
    ]  # fmt: skip
    rows = line_rows(invoice)
    names = list(rows[0])
    table = ["| " + " | ".join(names) + " |", "|---|---|---:|---|---:|---:|"]
    table += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    total = f"**Total {dollars(invoice.total_cents)} {invoice.currency}, {invoice.tax}.**"
    foot = f"{invoice.jobs:,} jobs were charged. {watermark(invoice)} Price book {invoice.price_book}."
    head = "\n".join(f"- {name}: {_cell(value)}" for name, value in facts)
    return "\n\n".join([f"# Invoice {invoice.number or '(draft)'}", head, "\n".join(table), total, foot])


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def html(invoices: Sequence[Invoice]) -> str:
    """Invoices as one self-contained page, a sheet each, that prints."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = resources.files("zjops.analytics").joinpath("pages/invoice.html").read_text()
    title = f"Invoice {invoices[0].number or invoices[0].tenant}" if len(invoices) == 1 else f"{len(invoices)} invoices"
    return environment.from_string(text).render(
        invoices=invoices, rows=line_rows, dollars=dollars, watermark=watermark, version=__version__, title=title
    )
