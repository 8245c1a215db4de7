"""cost: what a job costs and what is left of its price, beside what the design said."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, ShowSql, log_folder, show_sql
from zjops.cli.output import Format, Out
from zjops.cli.tables import show_tables
from zjops.domain.clock import SystemClock, month_bounds_ms, rfc3339, utc_month
from zjops.domain.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from zjops.analytics.cost import CostBook, CostModel, Margin

GWEI, MICRO = 10**9, 10**6
DERIVING = frozenset({"jobs_per_month", "window_s", "gas_per_batch"})
"""Inputs that ask for another gas a job than the one that was measured."""


class Table(enum.StrEnum):
    """The tables of the answer."""

    LINES = "lines"
    FIGURES = "figures"
    MARGINS = "margins"
    RATES = "rates"
    PROMISES = "promises"


TITLES = {
    Table.LINES: "infrastructure a month, as the design has it and as it is here",
    Table.FIGURES: "the cost of a job, with the formula",
    Table.MARGINS: "what a job earns, costs and leaves",
    Table.RATES: "the cost of a job at other rates of arrival, its gas derived from batches",
    Table.PROMISES: "the design's figures beside what holds",
}
COSTS = Annotated[Path | None, typer.Option("--costs", help="Other cost lines (TOML) than those that ship.")]
GAS_PRICE = Annotated[float | None, typer.Option("--gas-price", min=0, help="Gas price in gwei; 1 by default.")]
COIN_PRICE = Annotated[float | None, typer.Option("--coin-price", min=0, help="A coin's price in US dollars; 2,600.")]


class Measured(msgspec.Struct, frozen=True):
    """What a month of a log says, and the total of its invoices in cents."""

    month: str
    basis: Any
    total_cents: int


def cost(
    month: Annotated[str | None, typer.Option(help="Measure this month of the log; its newest by default.")] = None,
    jobs_per_month: Annotated[int | None, typer.Option(min=1, help="Arrival rate; as measured, or 10,000.")] = None,
    window: Annotated[float | None, typer.Option(min=0, help="Batch window in seconds; 5 by default.")] = None,
    gas_per_job: Annotated[float | None, typer.Option(min=0, help="As measured, or from window and rate.")] = None,
    gas_price: GAS_PRICE = None, coin_price: COIN_PRICE = None,
    hot_days: Annotated[int | None, typer.Option(min=0, help="Days in hot storage before the archive; 30.")] = None,
    spot: Annotated[int | None, typer.Option(min=0, max=100, help="Percent of the workers on spot.")] = None,
    coalesced: Annotated[int | None, typer.Option(min=0, max=100, help="Percent of jobs that another answers.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="name=number, of [inputs] in costs.toml.")] = None,
    costs: COSTS = None,
    prices: Annotated[Path | None, typer.Option(help="Another price book (TOML) than the one that ships.")] = None,
    table: Annotated[Table | None, typer.Option("--table", help="One table only; csv and jsonl hold one.")] = None,
    sql: ShowSql = False, log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Cost and margin of a job, with the formula; gas, rate and work measured from the log where there is one."""
    from zjops.analytics.cost import asked, cost_book, cost_model
    from zjops.analytics.statements import recording

    out, book = Out(output, json, quiet), cost_book(costs)
    given = parse_sets(sets or []) | chain_prices(gas_price, coin_price) | {
        name: value for name, value in (
            ("jobs_per_month", jobs_per_month), ("window_s", window), ("hot_days", hot_days), ("spot_percent", spot),
            ("coalesced_percent", coalesced),
        ) if value is not None
    }  # fmt: skip
    asked(book.inputs, given)
    with recording() as statements:
        measured = _measured(log, home, context, month, prices, out)
    if sql:
        show_sql(statements)
        return
    inputs = asked(asked(book.inputs, measured.basis.inputs() if measured else {}), given)
    gas = measured.basis.gas_per_job if measured and not DERIVING & given.keys() else None
    chosen = gas if gas_per_job is None else _whole("--gas-per-job", gas_per_job, MICRO) / MICRO
    model = cost_model(book, inputs, chosen)
    _show(out, table, book, model, _margins(book, model, measured, prices), measured)


def parse_sets(pairs: Sequence[str]) -> dict[str, Any]:
    """`name=number` pairs. Raises `UsageError`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            found[name] = msgspec.json.decode(text.replace("_", ""), type=int | float)
        except msgspec.MsgspecError as exc:
            raise UsageError(f"--set takes name=number, such as stored_gb=500, not {pair}") from exc
    return found


def chain_prices(gas_price: float | None, coin_price: float | None) -> dict[str, int]:
    """A gas price in gwei and a coin's in dollars as the model has them. Raises `UsageError`."""
    found = {} if gas_price is None else {"gas_price_wei": int(_whole("--gas-price", gas_price, GWEI))}
    return found if coin_price is None else found | {"coin_microusd": int(_whole("--coin-price", coin_price, MICRO))}


def _whole(name: str, value: float, parts: int) -> Fraction:
    """A number as a whole one of its parts, halves to even."""
    if not math.isfinite(value):
        raise UsageError(f"{name} takes a number, not {value}")
    return Fraction(round(Fraction(str(value)) * parts))


def _measured(
    log: Path | None, home: Path | None, context: str | None, month: str | None, prices: Path | None, out: Out
) -> Measured | None:  # fmt: skip
    """The log's month; None where no log was named and there is none, or where it has no confirmed job."""
    from zjops.analytics.basis import read_basis
    from zjops.analytics.billing import parse_month, read_book
    from zjops.analytics.issued import invoices_of
    from zjops.analytics.warehouse import Warehouse
    from zjops.domain.closed import billing_dir

    try:
        folder = log_folder(context, home, log)
    except UnreachableError:
        if context is not None or home is not None or month is not None:
            raise
        out.say("no log here: gas, rate and work are those of the cost lines; name a log with --log DIR")
        return None
    book, now_ms = read_book(prices), SystemClock().now_ms()
    with Warehouse(folder) as warehouse:
        chosen = parse_month(month or utc_month(warehouse.watermark() or now_ms))
        basis = read_basis(warehouse, *month_bounds_ms(chosen))
        _, made = invoices_of(warehouse, billing_dir(folder), chosen, book, now_ms=now_ms)
    if not basis.jobs_confirmed:
        out.say(f"the log has no confirmed job of {chosen}: gas, rate and work are those of the cost lines")
        return None
    out.say(
        f"measured in {chosen}: {basis.jobs_confirmed:,} jobs in {basis.batches:,} batches, {basis.gas:,} gas; "
        f"the log is complete to {rfc3339(basis.watermark_ms)}{_part(chosen, basis.watermark_ms)}"
    )
    return Measured(chosen, basis, sum(invoice.total_cents for invoice in made))


def _part(month: str, watermark_ms: int) -> str:
    """A word of warning where the log ends before its month does."""
    _, after_ms = month_bounds_ms(month)
    if watermark_ms >= after_ms - 86_400_000:
        return ""
    return ": before the month ends, so jobs a month are those so far; give --jobs-per-month"


def _margins(book: CostBook, model: CostModel, measured: Measured | None, prices: Path | None) -> list[Margin]:
    from zjops.analytics.billing import read_book
    from zjops.analytics.cost import margin_of, plan_margins
    from zjops.analytics.figures import half_up

    rows = plan_margins(book, model, read_book(prices))
    if measured:
        each = half_up(Fraction(measured.total_cents * 10**7, measured.basis.jobs_confirmed))
        rows.append(margin_of(f"all, as invoiced in {measured.month}", model.inputs.units_per_job, each, book, model))
    return rows


def _show(
    out: Out, table: Table | None, book: CostBook, model: CostModel, margins: list[Margin], measured: Measured | None
) -> None:  # fmt: skip
    from zjops.analytics.cost import figures, rate_costs, total_line
    from zjops.analytics.promises import promises

    rows = {
        Table.LINES: [*model.lines, total_line(model)], Table.FIGURES: figures(model), Table.MARGINS: margins,
        Table.RATES: rate_costs(book, model.inputs), Table.PROMISES: promises(book, model),
    }  # fmt: skip
    head = {
        "cost_book": book.version, "month": measured.month if measured else None,
        "measured": measured.basis if measured else None, "inputs": model.inputs,
    }  # fmt: skip
    show_tables(out, "zjops.cost", msgspec.to_builtins(head), msgspec.to_builtins(rows), TITLES, table)


commands = {"cost": cost}
