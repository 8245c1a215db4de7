"""gas: what every way of confirming costs, measured on the chain at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.client.development import client_version, is_development
from zjops.client.devnet import temporary_devnet
from zjops.client.rpc import Rpc
from zjops.config import resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UsageError
from zjops.domain.ids import SystemIds
from zjops.gas.tables import BASELINE, PROMISED, Measured, Prices, gas_rows, promise_rows, rate_rows

if TYPE_CHECKING:
    from zjops.client.wallet import Wallet

QUICK = ("block_time_s=0.25",)
SPENT = "about 40 million gas"


def gas(
    gas_price: Annotated[float, typer.Option(help="Gas price in gwei.", min=0)] = 1.0,
    coin_price: Annotated[float, typer.Option(help="A coin's price in US dollars.", min=0)] = 2_600.0,
    key_file: Annotated[Path | None, typer.Option(help="A funded account's key, for a chain of others.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help=f"Spend on a chain that is not for tests ({SPENT}).")] = False,
    home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Deploy, send every way of confirming in steady state, and tell gas, saving and cost."""
    from zjops.gas.measure import measure

    out, prices = Out(output, json, quiet), Prices(gas_price, coin_price)
    with _ground(context, home, key_file, out) as wallet:
        if not yes and not is_development(wallet.rpc):
            raise UsageError(f"{wallet.rpc.url} is not a development chain: measuring spends {SPENT} there; say --yes")
        told = {"chain_id": wallet.rpc.number("eth_chainId"), "client": client_version(wallet.rpc)}
        measured = measure(wallet, SystemIds(SystemClock()), out.say)
    _show(out, measured, prices, told)


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


def _show(out: Out, measured: list[Measured], prices: Prices, told: dict[str, Any]) -> None:
    rows = gas_rows(measured, prices)
    rates, promise = rate_rows(measured, prices), promise_rows(rows)
    if out.format is Format.JSON:
        out.record("zjops.gas/1", told | {
            "gas_price_gwei": prices.gwei, "coin_price_usd": prices.usd, "baseline": BASELINE,
            "rows": rows, "by_rate": rates, "promise": promise,
        })  # fmt: skip
        return
    out.rows("zjops.gas/1", [_plain(row) for row in rows])
    out.say("")
    out.say("root batches by jobs a month and window in seconds: what arrives while a batch is open shares its gas")
    out.rows("zjops.gas-by-rate/1", [_plain(row) for row in rates])
    out.say("")
    out.say(f"the design promised that batching saves {PROMISED:.0%}; what holds:")
    out.rows("zjops.gas-promise/1", [_plain(row) for row in promise])


def _plain(row: Any) -> dict[str, Any]:
    """A row for people: shares as percent, amounts of dollars without an exponent."""
    found: dict[str, Any] = msgspec.to_builtins(row)
    for name, value in found.items():
        if "saving" in name:
            found[name] = f"{value:.2%}"
        elif name.endswith("usd"):
            found[name] = f"{value:,.2f}" if "month" in name else f"{value:.6f}"
    return found


commands = {"gas": gas}
