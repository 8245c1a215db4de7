"""whatif: the same log under other prices."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from zjops.cli.cost import COIN_PRICE, COSTS, GAS_PRICE, chain_prices
from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, ShowSql, log_folder, show_sql
from zjops.cli.output import Format, Out
from zjops.cli.tables import show_tables
from zjops.domain.clock import SystemClock, month_bounds_ms, rfc3339, utc_month
from zjops.domain.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from zjops.analytics.cost import CostBook
    from zjops.analytics.warehouse import Warehouse
    from zjops.analytics.whatif import NamedBook, Priced, Spent


class Table(enum.StrEnum):
    """The tables of the answer."""

    BOOKS = "books"
    TENANTS = "tenants"
    QUOTA = "quota"


TITLES = {
    Table.BOOKS: "revenue and margin by price book, beside the first",
    Table.TENANTS: "winners and losers by tenant",
    Table.QUOTA: "who would have met a quota: 402, or the overage cap",
}


class Answer(msgspec.Struct, frozen=True):
    """The span under each book, the first of which is the base."""

    months: list[str]
    watermark_ms: int
    priced: list[Any]
    spent: Any


def whatif(
    prices: Annotated[list[Path] | None, typer.Option(help="A price book (TOML); may be repeated.")] = None,
    base: Annotated[Path | None, typer.Option(help="The book to compare with; by default the one that ships.")] = None,
    month: Annotated[str | None, typer.Option(help="YYYY-MM in UTC; by default the log's newest.")] = None,
    since: Annotated[str | None, typer.Option(help="First month (YYYY-MM) or its first day.")] = None,
    until: Annotated[str | None, typer.Option(help="First month after the span, or its first day.")] = None,
    costs: COSTS = None, gas_price: GAS_PRICE = None, coin_price: COIN_PRICE = None,
    table: Annotated[Table | None, typer.Option("--table", help="One table only; csv and jsonl hold one.")] = None,
    sql: ShowSql = False, log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Revenue, winners and losers, quota hits and margin of the same log under other prices; what people do stays."""
    from zjops.analytics.cost import cost_book
    from zjops.analytics.statements import recording
    from zjops.analytics.warehouse import Warehouse

    if not prices:
        raise UsageError("name a price book: --prices new.toml; the one that ships is zjops/domain/prices.toml")
    if month and (since or until):
        raise UsageError("either --month, or --since and --until")
    out, books, costing = Out(output, json, quiet), _books(base, prices), cost_book(costs)
    with recording() as statements, Warehouse(log_folder(context, home, log)) as warehouse:
        months = _months(warehouse.watermark(), month, since, until)
        answer = _answer(warehouse, months, books, costing, chain_prices(gas_price, coin_price))
    if sql:
        show_sql(statements)
        return
    _show(out, table, answer)


def _books(base: Path | None, prices: Sequence[Path]) -> list[NamedBook]:
    from zjops.analytics.billing import read_book
    from zjops.analytics.whatif import NamedBook

    paths = [base, *prices]
    names = ["shipped" if path is None else str(path) for path in paths]
    if len(set(names)) < len(names):
        raise UsageError("each price book is named once")
    return [NamedBook(name, read_book(path)) for name, path in zip(names, paths, strict=True)]


def _months(watermark_ms: int, month: str | None, since: str | None, until: str | None) -> list[str]:
    from zjops.analytics.billing import parse_month
    from zjops.analytics.whatif import months_between
    from zjops.cli.billing import moment_of

    newest = utc_month(watermark_ms or SystemClock().now_ms())
    if month or not (since or until):
        return [parse_month(month or newest)]
    first = moment_of(_day(since), "--since", month_bounds_ms(newest)[0])
    return months_between(first, moment_of(_day(until), "--until", month_bounds_ms(newest)[1]))


def _day(text: str | None) -> str | None:
    return f"{text}-01" if text and len(text) == 7 else text


def _answer(
    warehouse: Warehouse, months: list[str], books: Sequence[NamedBook], costing: CostBook, given: dict[str, int]
) -> Answer:
    from zjops.analytics.whatif import price, spent

    now_ms = SystemClock().now_ms()
    priced = [price(warehouse, months, book, now_ms=now_ms) for book in books]
    if not priced[0].cents:
        span = months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"
        raise UnreachableError(f"the log holds nothing of any tenant in {span}; see: zjops usage --by tenant,month")
    return Answer(months, warehouse.watermark(), priced, spent(warehouse, months, costing, given))


def _show(out: Out, table: Table | None, answer: Answer) -> None:
    from zjops.analytics.whatif import book_row, changes

    priced: list[Priced] = answer.priced
    cost: Spent = answer.spent
    base = priced[0]
    tables = {
        Table.BOOKS: [book_row(base, one, cost) for one in priced],
        Table.TENANTS: [row for one in priced[1:] for row in changes(base, one)],
        Table.QUOTA: [hit for one in priced for hit in one.hits],
    }  # fmt: skip
    head = {"months": answer.months, "watermark_ms": answer.watermark_ms, "base": base.name}
    show_tables(out, "zjops.whatif", head, msgspec.to_builtins(tables), TITLES, table)
    out.say(
        f"{', '.join(answer.months)}, complete to {rfc3339(answer.watermark_ms)}. Everyone is taken to do what they "
        "did; jobs that were refused are not in the log; units above a quota count in the revenue, not within quota."
    )


commands = {"whatif": whatif}
