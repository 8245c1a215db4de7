"""usage and invoice: what was used, what it costs, from the metering log."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, ShowSql, log_folder, show_sql
from zjops.cli.output import Format, Out
from zjops.domain.clock import SystemClock, parse_rfc3339, rfc3339, utc_month
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.synthetic import and_synthetic

if TYPE_CHECKING:
    from zjops.domain.invoices import Invoice

PRICES = Annotated[Path | None, typer.Option("--prices", help="Another price book (TOML) than the one that ships.")]
MONTH = Annotated[str | None, typer.Option(help="YYYY-MM in UTC; this month by default.")]

SHORT = {"type": "job_type"}
COUNTED = ("jobs", "jobs_charged", "units_reserved", "units_charged", "units_released", "units_held")


class Paper(enum.StrEnum):
    """How an invoice is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MD = "md"
    HTML = "html"


def moment_of(text: str | None, name: str, otherwise: int) -> int:
    """A day or an RFC 3339 time as Unix ms. Raises `UsageError`."""
    if text is None:
        return otherwise
    try:
        return parse_rfc3339(f"{text}T00:00:00Z" if len(text) == 10 else text)
    except ValueError as exc:
        raise UsageError(f"{name} takes a day (2026-11-01) or a time (2026-11-01T12:00:00Z), not {text}") from exc


def usage(
    by: Annotated[str, typer.Option(help="tenant, plan, day, month, type: by commas.")] = "tenant",
    since: Annotated[str | None, typer.Option(help="First moment of acceptance, UTC.")] = None,
    until: Annotated[str | None, typer.Option(help="First moment after it.")] = None,
    tenant: Annotated[str | None, typer.Option(help="One tenant only.")] = None,
    sql: ShowSql = False,
    log: LogDir = None, home: Home = None, context: ContextName = None, output: Output = Format.TABLE,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Jobs and compute units, by tenant, plan, day, month or job type; reserved = charged + released + held."""
    from zjops.analytics.billing import FOREVER_MS, usage_sql
    from zjops.analytics.statements import Asked
    from zjops.analytics.warehouse import Warehouse

    keys = [SHORT.get(key.strip(), key.strip()) for key in by.split(",") if key.strip()]
    text = usage_sql(keys)
    span = {"since_ms": moment_of(since, "--since", 0), "until_ms": moment_of(until, "--until", FOREVER_MS)}
    if span["since_ms"] >= span["until_ms"]:
        raise UsageError("the span is empty: --until is the first moment after it")
    out = Out(output, json, quiet)
    if sql:
        show_sql([Asked(text, {"tenant": tenant} | span)])
        return
    folder = log_folder(context, home, log)
    with Warehouse(folder) as warehouse:
        rows, reached = warehouse.ask(text, tenant=tenant, **span), warehouse.watermark()
    out.rows("zjops.usage/1", rows, [*keys, *COUNTED])
    out.say(f"by acceptance in UTC; {_complete(reached)}{and_synthetic(folder)}")


def _complete(watermark_ms: int) -> str:
    return f"the log is complete to {rfc3339(watermark_ms)}" if watermark_ms else "the log is empty"


def invoice(
    tenant: Annotated[str | None, typer.Argument(help="Whose.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Of every tenant.")] = False,
    month: MONTH = None, prices: PRICES = None, sql: ShowSql = False,
    log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Annotated[Paper, typer.Option("--output", "-o", help="How to write it.")] = Paper.TABLE,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """The invoice of a month: as it was issued, else the draft. See also: invoice explain, verify, diff."""
    if (tenant is None) == (not everyone):
        raise UsageError("name a tenant, or all of them with --all")
    from zjops.analytics.statements import recording

    folder = log_folder(context, home, log)
    with recording() as asked:
        found = month_of(month, folder, prices, tenant)
    if sql:
        show_sql(asked)
        return
    paper = Paper.JSON if json else output
    if paper is Paper.HTML:
        from zjops.analytics.documents import html

        print(html(found.invoices))
    elif everyone:
        _all(found, Out(_format(paper), quiet=quiet), and_synthetic(folder))
    else:
        _one(found.invoices[0], paper, Out(_format(paper), quiet=quiet), and_synthetic(folder))


def _format(paper: Paper) -> Format:
    return Format.TABLE if paper is Paper.HTML else Format(paper.value)


class Found(msgspec.Struct):
    """The invoices of a month, with how far the log went (Unix ms)."""

    month: str
    watermark_ms: int
    invoices: list[Any]


def month_of(month: str | None, log_dir: Path, prices: Path | None, tenant: str | None) -> Found:
    """The invoices of a month. Raises `UsageError`, `UnreachableError`."""
    from zjops.analytics.billing import read_book
    from zjops.analytics.issued import invoices_of
    from zjops.analytics.warehouse import Warehouse
    from zjops.domain.closed import billing_dir

    now_ms = SystemClock().now_ms()
    chosen, book, place = month or utc_month(now_ms), read_book(prices), billing_dir(log_dir)
    with Warehouse(log_dir) as warehouse:
        found, made = invoices_of(warehouse, place, chosen, book, now_ms=now_ms, tenant=tenant)
    if not made:
        whose = f"tenant {tenant}" if tenant else "any tenant"
        raise UnreachableError(f"the log holds nothing of {whose} in {chosen}; see: zjops usage --by tenant,month")
    return Found(chosen, found.watermark_ms, made)


def _all(found: Found, out: Out, synthetic: str) -> None:
    from zjops.analytics.documents import flat_rows, markdown, summary_rows
    from zjops.domain.invoices import dollars

    made: list[Invoice] = found.invoices
    total = sum(one.total_cents for one in made)
    if out.format is Format.JSON:
        out.record("zjops.invoices/1", {
            "month": found.month, "watermark_ms": found.watermark_ms, "total_cents": total,
            "invoices": msgspec.to_builtins(made),
        })  # fmt: skip
    elif out.format is Format.JSONL:
        for one in made:
            out.line("zjops.invoice/1", msgspec.to_builtins(one))
    elif out.format is Format.MD:
        out.text("\n\n---\n\n".join(markdown(one) for one in made))
    else:
        out.rows("", flat_rows(made) if out.format is Format.CSV else summary_rows(made))
    reached = _complete(found.watermark_ms) + synthetic
    out.say(f"{found.month}: {len(made)} invoices, {dollars(total)} excluding tax; {reached}")


def _one(made: Invoice, paper: Paper, out: Out, synthetic: str) -> None:
    from zjops.analytics.documents import flat_rows, line_rows, markdown, watermark
    from zjops.domain.invoices import dollars

    if out.format in (Format.JSON, Format.JSONL):
        out.record("zjops.invoice/1", msgspec.to_builtins(made))
        return
    if paper is Paper.MD:
        out.text(markdown(made))
        return
    if out.format is Format.CSV:
        out.rows("", flat_rows([made]))
        return
    total = {"line": "", "description": "Total", "quantity": "", "unit": "", "unit price": ""}
    out.rows("", [*line_rows(made), total | {"amount": dollars(made.total_cents)}])
    out.say(
        f"{made.number or made.state}, {made.tenant}, {made.month}, {made.plan}: {made.jobs:,} jobs charged, total "
        f"{dollars(made.total_cents)} {made.currency} {made.tax}, price book {made.price_book}. "
        f"{watermark(made).removesuffix('.')}{synthetic}."
    )


commands = {"usage": usage, "invoice": invoice}
