"""gas: what every way of confirming costs, measured on the chain at hand."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.cli.tables import show_tables
from zjops.client.development import client_version, is_development
from zjops.client.devnet import temporary_devnet
from zjops.client.rpc import Rpc
from zjops.config import resolve
from zjops.domain.batches import BATCH_MOST
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.ids import SystemIds
from zjops.gas.tables import BASELINE, PROMISED, Measured, Prices, gas_rows, promise_rows, rate_rows

if TYPE_CHECKING:
    from zjops.client.wallet import Wallet

PRICE_MOST = 1e9
QUICK = ("block_time_s=0.25",)
SPENT = "about 40 million gas"


class Table(enum.StrEnum):
    """The tables of the answer."""

    ROWS = "rows"
    BY_RATE = "by_rate"
    PROMISE = "promise"


TITLES = {
    Table.ROWS: "gas by way and size of batch (materialise: one job, beside its share of the root)",
    Table.BY_RATE: "root batches by jobs a month and window: what arrives while one is open shares its gas;\n"
                   f"the relayer closes it at {BATCH_MOST:,} jobs (batch_max_jobs; the contract takes 10,000)",
    Table.PROMISE: f"the design promised that batching saves {PROMISED:.0%}; what holds",
}  # fmt: skip
SHORT = {
    "path": "way", "batch_size": "batch", "gas_per_job": "gas/job", "saving_vs_original_single": "saving",
    "cost_per_job_usd": "USD/job", "jobs_per_month": "jobs/month", "window_s": "window s",
    "jobs_per_batch": "jobs/batch", "cost_per_month_usd": "USD/month", "promised_saving": "promised",
}  # fmt: skip


def gas(
    gas_price: Annotated[float, typer.Option(help="Gas price in gwei.")] = 1.0,
    coin_price: Annotated[float, typer.Option(help="A coin's price in US dollars.")] = 2_600.0,
    table: Annotated[Table | None, typer.Option("--table", help="One table only; csv and jsonl hold one.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="A funded account's key, for a chain of others.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help=f"Spend on a chain that is not for tests ({SPENT}).")] = False,
    home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Deploy, send every way of confirming in steady state, and tell gas, saving and cost."""
    from zjops.gas.measure import measure

    out = Out(output, json, quiet)
    prices = Prices(_price("--gas-price", gas_price), _price("--coin-price", coin_price))
    with _ground(context, home, key_file, out) as wallet:
        if not yes and not is_development(wallet.rpc):
            raise UsageError(f"{wallet.rpc.url} is not a development chain: measuring spends {SPENT} there; say --yes")
        told = {"chain_id": wallet.rpc.number("eth_chainId"), "client": client_version(wallet.rpc)}
        measured = measure(wallet, SystemIds(SystemClock()), out.say)
    _show(out, table, measured, prices, told)


def _price(name: str, value: float) -> float:
    """A price that can be computed with. Raises `UsageError`."""
    if not 0 <= value <= PRICE_MOST:
        raise UsageError(f"{name} takes a number from 0 to {PRICE_MOST:,.0f}, not {value:g}")
    return value


@contextlib.contextmanager
def _ground(name: str | None, home: Path | None, key_file: Path | None, out: Out) -> Iterator[Wallet]:
    """An account on the chain at hand: the context's, or that of a devnet for this once when no platform runs."""
    from zjops.client.wallet import Wallet, admin_key, key_of

    try:
        context = resolve(name, home)
    except UnreachableError:
        if name is not None:
            raise
        out.say("no platform runs here: measuring on a development chain of its own")
        with temporary_devnet(QUICK) as (url, folder), contextlib.closing(Rpc(url)) as rpc:
            yield Wallet(rpc, admin_key(folder))
        return
    if context.rpc_url is None:
        raise UsageError(f"context {context.name} names no chain (rpc_url)")
    with contextlib.closing(Rpc(context.rpc_url)) as rpc:
        yield Wallet(rpc, key_of(context, key_file))


def _show(out: Out, table: Table | None, measured: list[Measured], prices: Prices, told: dict[str, Any]) -> None:
    rows = gas_rows(measured, prices)
    tables = msgspec.to_builtins({
        Table.ROWS: rows, Table.BY_RATE: rate_rows(measured, prices), Table.PROMISE: promise_rows(rows)
    })  # fmt: skip
    if out.format in (Format.TABLE, Format.MD):
        tables = {name: [_plain(row) for row in some] for name, some in tables.items()}
    head = told | {"gas_price_gwei": prices.gwei, "coin_price_usd": prices.usd, "baseline": BASELINE}
    show_tables(out, "zjops.gas", head, tables, TITLES, table)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people, as wide as a narrow terminal: shares as percent, dollars without an exponent."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if "saving" in name:
            found[SHORT.get(name, name)] = f"{value:.2%}"
        elif name.endswith("usd"):
            found[SHORT[name]] = f"{value:,.2f}" if "month" in name else f"{value:.6f}"
        else:
            found[SHORT.get(name, name)] = value
    return found


commands = {"gas": gas}
