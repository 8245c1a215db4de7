"""chain: how the chain stands, its batches and the relayer; `chainacts` is what can be done to them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from zjops.cli import chainacts
from zjops.cli.exits import BROKEN, UNREACHABLE
from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.cli.reanchor import reanchor
from zjops.cli.text import shortened
from zjops.client.admin import Admin
from zjops.client.chain import ChainReader
from zjops.client.published import WRONG, Published, published
from zjops.client.rpc import Rpc, node_of
from zjops.client.standing import (
    Evidence,
    clock_skew_s,
    depth_of,
    evidence_of,
    has_halted,
    lag,
    owner_state,
    progress,
    runway_days,
    runway_text,
    seconds_to_final,
    skew_text,
    standstill,
    way_on,
)
from zjops.config import Context, resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainUnavailable
from zjops.domain.wire_chain import BatchState, BatchView, RelayerView

chain = typer.Typer()
COIN, GWEI = 10**18, 10**9
RECENT = 20
"""How many of the newest batches are looked at to learn something of the chain."""
COLUMNS = (
    "batch", "jobs", "first_sequence", "state", "block", "gas", "gas_per_job", "closed", "final_after_s", "tx", "root",
    "repairs",
)  # fmt: skip


@chain.command(help="Height, lag, relayer, balance and what waits.\n\nExample: zjops chain status")
def status(
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """The chain and the relayer at a glance; exit 4 when what was final is gone, 3 when the chain does not answer."""
    found, out = resolve(context, home), Out(output, json, quiet)
    admin = Admin(found)
    view, newest = admin.relayer(), admin.batches(limit=RECENT).batches
    with node_of(found) as rpc:
        try:
            seen = _seen(found, rpc, view, newest)
        except ChainUnavailable as exc:
            seen = {"chain": "away"}
            out.say(f"the chain is away: {exc}")
    if seen.get("clock_skew_s"):
        out.say(skew_text(seen["clock_skew_s"]))
    told = seen | _stands(view) | _newest(newest, seen.get("height"), depth_of(view.finality))
    out.record("zjops.chain/1", told, _shown(told, view, found))
    why = standstill(view)
    if why is not None and out.format is not Format.TABLE:
        out.say(f"{why}; see {way_on(view)}")
    if has_halted(view):
        raise typer.Exit(BROKEN)
    if "height" not in seen:
        raise typer.Exit(UNREACHABLE)


def _stands(view: RelayerView) -> dict[str, Any]:
    """What the operators' door says of the relayer."""
    return {
        "relayer": owner_state(view), "reason": view.reason, "since": view.since, "owner": view.owner,
        "epoch": view.epoch, "finality": view.finality, "batches_waiting": view.open_batches,
        "jobs_in_batches": view.open_jobs, "jobs_waiting": view.waiting_jobs, "reanchor": _asked(view),
        "oldest_waiting_s": None if view.oldest_waiting_ms is None else view.oldest_waiting_ms / 1000,
    }  # fmt: skip


def _newest(batches: Sequence[BatchView], head: int | None, depth: int | None) -> dict[str, Any]:
    if not batches:
        return {"newest_batch": None, "newest_batch_state": None}
    return {"newest_batch": batches[0].batch_id, "newest_batch_state": progress(batches[0], head, depth)}


def _asked(view: RelayerView) -> str | None:
    """What is to be anchored again, in a few words."""
    if view.reanchor is None:
        return None
    what = "all" if view.reanchor.batch is None else f"batch {view.reanchor.batch}"
    return f"{what}, asked by {view.reanchor.actor}" + (f", refused: {told}" if (told := view.reanchor.refused) else "")


def _seen(context: Context, rpc: Rpc, view: RelayerView, newest: Sequence[BatchView]) -> dict[str, Any]:
    head, reader = rpc.block(), ChainReader(context, rpc.http)
    now_s, made_s = SystemClock().now_ms() / 1000, int(head["timestamp"], 16)
    skew_s = clock_skew_s(made_s, now_s, _evidence(newest, rpc))
    blocks, seconds = lag(made_s, now_s + skew_s, view.block_time_seconds)
    address = view.address or _sender(newest, rpc)
    balance = None if address is None else rpc.number("eth_getBalance", address, "latest")
    days = None if balance is None else runway_days(balance, int(view.spent_wei), view.spent_seconds)
    return {
        "chain": "answers", "chain_id": rpc.number("eth_chainId"), "height": int(head["number"], 16),
        "lag_blocks": blocks, "lag_s": seconds, "clock_skew_s": skew_s,
        "base_fee_wei": int(head.get("baseFeePerGas", "0x0"), 16),
        "contract": context.contract, "contract_paused": reader.paused(), "next_sequence": reader.next_sequence(),
        "address": address, "balance": None if balance is None else balance / COIN,
        "runway_days": None if days is None else round(days, 1),
    }  # fmt: skip


def _evidence(newest: Sequence[BatchView], rpc: Rpc) -> Evidence | None:
    """What the newest batch that is in a block tells of the chain's clock."""
    for batch in newest:
        # One that was anchored again was told of before its block was made.
        if batch.block_number is not None and not batch.repairs:
            # A block that is gone, or that the node does not know yet, tells nothing.
            with contextlib.suppress(ChainUnavailable):
                return evidence_of(batch, int(rpc.block(hex(batch.block_number))["timestamp"], 16))
            return None
    return None


def _sender(newest: Sequence[BatchView], rpc: Rpc) -> str | None:
    """Who sent the newest batch, where the relayer has not said who it is."""
    sent = next((batch.tx_hash for batch in newest if batch.tx_hash), None)
    found = None if sent is None else rpc.ask("eth_getTransactionByHash", sent)
    return str(found["from"]) if isinstance(found, dict) else None


def _shown(told: dict[str, Any], view: RelayerView, context: Context) -> dict[str, str]:
    """The same for people: what belongs together on one line, with its unit."""
    relayer = told["relayer"] + (f" since {view.since}" if view.since else "")
    waits = "" if told["oldest_waiting_s"] is None else f", the oldest for {told['oldest_waiting_s']:.1f} s"
    newest = "none" if told["newest_batch"] is None else f"{told['newest_batch']}, {told['newest_batch_state']}"
    jobs = f"jobs in them: {view.open_jobs}, jobs in none yet: {view.waiting_jobs}"
    lines = {
        "relayer": relayer, "  held by": f"{view.owner} (epoch {view.epoch})" if view.owner else "nobody",
        "newest batch": f"{newest}; final by {view.finality}",
        "waiting": f"batches: {view.open_batches}, {jobs}{waits}",
    }  # fmt: skip
    if (why := standstill(view)) is not None:
        lines |= {"at a stop": why} | ({"  see": way_on(view)} if view.paused else {})
    if told["reanchor"]:
        lines["anchor again"] = told["reanchor"]
    if "height" not in told:
        return {"chain": f"away, {context.rpc_url}"} | lines
    coins = (
        "not known" if told["balance"] is None else f"{told['balance']:,.4f} coins, {runway_text(told['runway_days'])}"
    )
    stands = "takes no confirmations: it is paused" if told["contract_paused"] else "takes confirmations"
    return {
        "chain": f"{told['chain_id']}, {context.rpc_url}",
        "height": f"{told['height']:,}, {told['lag_s']:.1f} s ({told['lag_blocks']} blocks) behind",
        "base fee": f"{told['base_fee_wei'] / GWEI:.6g} gwei",
        "contract": f"{told['contract']}", "  state": f"{stands}; its next number is {told['next_sequence']}",
    } | lines | {"sends as": told["address"] or "not known", "  balance": coins}  # fmt: skip


def _row(batch: BatchView, head: int | None, depth: int | None) -> dict[str, Any]:
    values = (
        batch.batch_id, batch.count, batch.first_sequence, progress(batch, head, depth), batch.block_number,
        batch.gas_used, None if batch.gas_used is None else round(batch.gas_used / batch.count, 2), batch.closed_at,
        seconds_to_final(batch), batch.tx_hash, batch.root, len(batch.repairs),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row that fits a narrow terminal; `chain batch N` has the hashes."""
    anew = f", anew {row['repairs']}x" if row["repairs"] else ""
    took = None if row["final_after_s"] is None else f"{row['final_after_s']:.1f} s"
    return {
        "batch": row["batch"], "jobs": row["jobs"], "state": row["state"] + anew, "block": row["block"],
        "gas": row["gas"], "gas/job": row["gas_per_job"], "closed (UTC)": row["closed"][5:19].replace("T", " "),
        "final in": took,
    }  # fmt: skip


def _whole(row: dict[str, Any], view: BatchView, file: Published) -> dict[str, str]:
    """A batch for people, each hash on a line that can be copied."""
    last, price = row["first_sequence"] + row["jobs"] - 1, int(row["gas_price_wei"] or 0) / GWEI
    took = "" if row["final_after_s"] is None else f", {row['final_after_s']:.1f} s after that"
    gas = "" if row["gas"] is None else f"{row['gas']:,}, {row['gas_per_job']:,.2f} a job, at {price:.6g} gwei"
    lines = {
        "batch": f"{row['batch']}: {row['jobs']:,} jobs, numbers {row['first_sequence']:,} to {last:,}",
        "state": f"{row['state']}, closed {row['closed']}{took}", "root": row["root"], "tx": row["tx"] or "",
        "block": "" if row["block"] is None else f"{row['block']:,} {row['block_hash']}", "gas": gas,
        "leaf file": f"{file.state}, SHA-256 {file.digest}" if file.digest else file.state,
    }  # fmt: skip
    for one in view.repairs:
        lines |= {f"anew {one.at}": f"{one.act}, for {one.actor}; before in block {one.block_number} by {one.tx_hash}"}
    return {name: value for name, value in lines.items() if value}


def _head(context: Context, out: Out) -> int | None:
    """The newest block, or none with a word: batches are shown without a chain too."""
    try:
        with node_of(context) as rpc:
            return rpc.number("eth_blockNumber")
    except ChainUnavailable as exc:
        out.say(f"the chain is away: {exc}")
        return None


@chain.command(help="Batches, newest first.\n\nExample: zjops chain batches --state mined -o json")
def batches(
    state: Annotated[BatchState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    before: Annotated[int | None, typer.Option(help="Only those below this batch.", min=1)] = None,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """A page of batches with gas, state and time to finality; hashes are in every format but the table."""
    found, out = resolve(context, home), Out(output, json, quiet)
    admin = Admin(found)
    page, depth = admin.batches(state=state, limit=limit, before=before), depth_of(admin.relayer().finality)
    head = _head(found, out)
    rows = [_row(batch, head, depth) for batch in page.batches]
    out.rows("zjops.batches/1", rows, COLUMNS, people=[_brief(row) for row in rows], next=page.next)
    if page.next is not None:
        out.say(f"more with --before {page.next}")


@chain.command(help="One batch with its leaves, and whether its published file agrees.\n\nExample: zjops chain batch 7")
def batch(
    number: Annotated[int, typer.Argument(help="The batch.", min=1)],
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Transaction, gas, state and leaves of a batch; exit 4 when its published file is missing or altered."""
    found, out = resolve(context, home), Out(output, json, quiet)
    admin = Admin(found)
    view, depth = admin.batch(number), depth_of(admin.relayer().finality)
    row = _row(view, _head(found, out), depth) | {"block_hash": view.block_hash, "gas_price_wei": view.gas_price_wei}
    leaves: list[dict[str, Any]] = [msgspec.to_builtins(leaf) for leaf in view.leaves]
    row["repairs"] = [msgspec.to_builtins(one) for one in view.repairs]
    file = published(view, found.log_dir)
    if out.format in (Format.JSON, Format.JSONL):
        out.record("zjops.batch/1", row | {"leaf_file": msgspec.to_builtins(file), "leaves": leaves})
    else:
        if out.format in (Format.TABLE, Format.MD):
            told = row | {"leaf_file": file.state, "leaf_file_sha256": file.digest}
            out.record("zjops.batch/1", told, _whole(row, view, file))
            out.text("")
        brief = [leaf | {"hash": shortened(leaf["hash"])} for leaf in leaves]
        out.rows("zjops.leaves/1", leaves, ("sequence", "jobId", "hash"), people=brief)
    out.say(f"leaf file: {file.detail}")
    if file.state in WRONG:
        raise typer.Exit(BROKEN)


chain.command(
    help="Anchor again what a reorganisation beyond finality took away, and give other numbers to batches whose own "
    "something else took, after a preview.\n\n"
    "Example: zjops chain reanchor --all --yes"
)(reanchor)
chainacts.add_to(chain)
groups = {"chain": chain}
