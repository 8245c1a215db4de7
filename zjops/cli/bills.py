"""close, and what asks about one invoice: explain and verify."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from zjops.cli.audit import exporter
from zjops.cli.billing import MONTH, PRICES
from zjops.cli.exits import BROKEN
from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, log_folder
from zjops.cli.output import Format, Out
from zjops.config import resolve
from zjops.domain.clock import SystemClock, rfc3339, utc_month
from zjops.domain.errors import UnreachableError, UsageError


def close(
    month: Annotated[str, typer.Argument(help="YYYY-MM in UTC.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be issued, and issue nothing.")] = False,
    prices: PRICES = None, log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Issue every invoice of a month for good; exit 4 while it is too early or something does not tie out."""
    from zjops.analytics.billing import parse_month, read_book
    from zjops.analytics.close import close as issue
    from zjops.analytics.close import prepare
    from zjops.analytics.documents import summary_rows
    from zjops.analytics.warehouse import Warehouse
    from zjops.cli.text import near
    from zjops.domain.closed import billing_dir
    from zjops.domain.invoices import dollars

    out, book, folder = Out(output, json, quiet), read_book(prices), log_folder(context, home, log)
    now_ms, place = SystemClock().now_ms(), billing_dir(folder)
    with Warehouse(folder) as warehouse:
        closing = prepare(warehouse, place, parse_month(month), book, now_ms=now_ms)
    if not dry_run:
        issue(place, month, closing, book, now_ms=now_ms)
    for identity in closing.tied.identities:
        out.say(identity.text())
    numbers = [{"number": made.number} | row for made, row in zip(
        closing.invoices, summary_rows(closing.invoices), strict=True
    )]  # fmt: skip
    out.rows("zjops.close/1", numbers)
    total = dollars(sum(made.total_cents for made in closing.invoices))
    what = "would be issued; nothing was written" if dry_run else f"are issued, in {near(place / month)}"
    out.say(f"{month}: {len(closing.invoices)} invoices, {total} excluding tax, {what}")


def explain(
    tenant: Annotated[str, typer.Argument(help="Whose invoice.")],
    line: Annotated[int, typer.Argument(help="The line's number, from 1.")],
    month: MONTH = None, limit: Annotated[int, typer.Option(help="The most rows to show.", min=1)] = 50,
    prices: PRICES = None, log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """The events behind a line, and the batches and transactions that confirm them."""
    from zjops.analytics.billing import read_book
    from zjops.analytics.explain import explain as ask
    from zjops.analytics.issued import invoices_of
    from zjops.analytics.warehouse import Warehouse
    from zjops.domain.closed import billing_dir
    from zjops.domain.invoices import dollars

    out, book, folder = Out(output, json, quiet), read_book(prices), log_folder(context, home, log)
    now_ms = SystemClock().now_ms()
    chosen = month or utc_month(now_ms)
    with Warehouse(folder) as warehouse:
        _, made = invoices_of(warehouse, billing_dir(folder), chosen, book, now_ms=now_ms, tenant=tenant)
        if not made:
            raise UnreachableError(f"the log holds nothing of tenant {tenant} in {chosen}")
        found = ask(warehouse, made[0], line, book, now_ms)
    rows = found.rows if out.format is not Format.TABLE else [_short(row) for row in found.rows]
    out.rows("zjops.explained/1", rows[:limit])
    out.say(f"{found.line.description}: {dollars(found.line.amount_cents)}. {found.text}")
    if len(rows) > limit:
        out.say(f"shown are the first {limit} of {len(rows):,} rows; more with --limit")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row that fits a terminal: long ids cut, which -o json has in full."""
    hidden = ("event", "sequence", "type", "chain sequence")
    kept = {name: value for name, value in row.items() if name not in hidden}
    if kept.get("transaction"):
        kept["transaction"] = kept["transaction"][:12] + "…"
    return kept


def verify(
    file: Annotated[Path, typer.Argument(help="An invoice as JSON, from zjops invoice -o json or a close.")],
    export: Annotated[Path | None, typer.Option("--export", help="A saved export, not the API's.")] = None,
    chain: Annotated[bool, typer.Option("--chain/--no-chain", help="Compare usage with the contract.")] = True,
    world: Annotated[Path | None, typer.Option("--world", help="Against a finished world of zjops simulate.")] = None,
    prices: PRICES = None, log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Derive an invoice again from raw events and check the usage behind it on chain; exit 4 when it differs."""
    from zjops.analytics.issued import book_of, read_invoice
    from zjops.analytics.warehouse import Warehouse
    from zjops.audit.bills import check_issued, check_lines
    from zjops.audit.world import log_of, require_world

    out, made = Out(output, json, quiet), read_invoice(file)
    if world is not None:
        require_world(world)
        log = log or log_of(world)
    folder = log_folder(context, home, log)
    with Warehouse(folder, through=made.through_sequence or None) as warehouse:
        book = book_of(folder, made.month, prices)
        if book.version != made.price_book:
            raise UsageError(f"the invoice was priced by book {made.price_book}, this is {book.version}; give --prices")
        checks = check_lines(made, warehouse, book, SystemClock().now_ms()) + check_issued(made, warehouse)
        if chain:
            checks += _on_chain(made, warehouse, context, home, export, world)
    out.rows("zjops.invoice-checks/1", [check._asdict() for check in checks])
    if not all(check.ok for check in checks):
        out.say("the invoice does not hold")
        raise typer.Exit(BROKEN)
    out.say(f"the invoice holds{'' if chain else '; the chain was not asked'}; log to {rfc3339(made.watermark_ms)}")


def _on_chain(
    made: Any, warehouse: Any, context: str | None, home: Path | None, export: Path | None, world: Path | None
) -> list[Any]:
    from zjops.analytics.warehouse import Warehouse
    from zjops.audit.bills import billed_jobs, check_anchors
    from zjops.audit.records import part_after, read_export
    from zjops.audit.world import CHAIN, EXPORT, SavedChain
    from zjops.client.chain import ChainReader

    if world is not None:
        return check_anchors(made, warehouse, read_export(export or world / EXPORT), SavedChain(world / CHAIN))
    found = resolve(context, home, alive=export is None)
    with tempfile.TemporaryDirectory(prefix="zjops-verify-") as name:
        saved = read_export(exporter(found, export, Path(name))())
    after = part_after(warehouse.log_dir).after
    if not after:
        return check_anchors(made, warehouse, saved, ChainReader(found))
    with Warehouse(warehouse.log_dir, through=made.through_sequence or None, after=after) as own:
        left_out = len(billed_jobs(made, warehouse)) - len(billed_jobs(made, own))
        return check_anchors(made, own, saved, ChainReader(found), left_out)


commands = {"close": close}
verbs = {"explain": explain, "verify": verify}
