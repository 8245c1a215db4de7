"""chain: how the chain stands, batches and the relayer; and what can be done to them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from zjops.cli.exits import BROKEN, UNREACHABLE
from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Yes
from zjops.cli.output import Format, Out, agree
from zjops.cli.reanchor import reanchor
from zjops.client.admin import Admin
from zjops.client.chain import ChainReader
from zjops.client.development import Development
from zjops.client.published import WRONG, published
from zjops.client.rpc import Rpc
from zjops.client.standing import (
    Evidence,
    clock_skew_s,
    depth_of,
    evidence_of,
    lag,
    owner_state,
    progress,
    runway_days,
    seconds_to_final,
    skew_text,
)
from zjops.config import Context, resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainUnavailable, UsageError
from zjops.domain.merkle import keccak256
from zjops.domain.wire_chain import BatchView, RelayerView

chain = typer.Typer()
COIN = 10**18
PAUSE_GAS = 100_000
RECENT = 20
"""How many of the newest batches are looked at to learn something of the chain."""
DEPTH_MOST = 256
Target = Annotated[str, typer.Argument(metavar="[contract|relayer]", help="What to hold back.")]
Reason = Annotated[str | None, typer.Option("--reason", help="For the relayer: goes into the audit log.")]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="For the contract: the pauser's key.")]


@contextlib.contextmanager
def _node(context: Context) -> Iterator[Rpc]:
    if context.rpc_url is None:
        raise UsageError(f"context {context.name} names no chain (rpc_url)")
    with contextlib.closing(Rpc(context.rpc_url)) as rpc:
        yield rpc


@chain.command(help="Height, lag, relayer, balance and what waits.\n\nExample: zjops chain status")
def status(
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """The chain and the relayer at a glance; exit 3 when the chain does not answer."""
    found, out = resolve(context, home), Out(output, json, quiet)
    view = Admin(found).relayer()
    with _node(found) as rpc:
        try:
            seen = _seen(found, rpc, view)
        except ChainUnavailable as exc:
            seen = {"chain": "away"}
            out.say(f"the chain is away: {exc}")
    if seen.get("clock_skew_s"):
        out.say(skew_text(seen["clock_skew_s"]))
    out.record("zjops.chain/1", seen | {
        "relayer": owner_state(view), "reason": view.reason, "since": view.since, "owner": view.owner,
        "epoch": view.epoch, "batches_waiting": view.open_batches, "jobs_in_batches": view.open_jobs,
        "jobs_waiting": view.waiting_jobs, "reanchor": _asked(view),
        "oldest_waiting_s": None if view.oldest_waiting_ms is None else view.oldest_waiting_ms / 1000,
    })  # fmt: skip
    if "height" not in seen:
        raise typer.Exit(UNREACHABLE)


def _asked(view: RelayerView) -> str | None:
    """What is to be anchored again, in a few words."""
    if view.reanchor is None:
        return None
    what = "all" if view.reanchor.batch is None else f"batch {view.reanchor.batch}"
    return f"{what}, asked by {view.reanchor.actor}" + (f", refused: {told}" if (told := view.reanchor.refused) else "")


def _seen(context: Context, rpc: Rpc, view: RelayerView) -> dict[str, Any]:
    head, reader = rpc.block(), ChainReader(context, rpc.http)
    now_s, made_s = SystemClock().now_ms() / 1000, int(head["timestamp"], 16)
    skew_s = clock_skew_s(made_s, now_s, _evidence(context, rpc))
    blocks, seconds = lag(made_s, now_s + skew_s, view.block_time_seconds)
    address = view.address or _sender(context, rpc)
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


def _evidence(context: Context, rpc: Rpc) -> Evidence | None:
    """What the newest batch that is in a block tells of the chain's clock."""
    for batch in Admin(context).batches(limit=RECENT).batches:
        if batch.block_number is not None:
            # A block that is gone, or that the node does not know yet, tells nothing.
            with contextlib.suppress(ChainUnavailable):
                return evidence_of(batch, int(rpc.block(hex(batch.block_number))["timestamp"], 16))
            return None
    return None


def _sender(context: Context, rpc: Rpc) -> str | None:
    """Who sent the newest batch, where the relayer has not said who it is."""
    batches = Admin(context).batches(limit=RECENT).batches
    sent = next((batch.tx_hash for batch in batches if batch.tx_hash), None)
    found = None if sent is None else rpc.ask("eth_getTransactionByHash", sent)
    return str(found["from"]) if isinstance(found, dict) else None


def _row(batch: BatchView, head: int | None, depth: int | None) -> dict[str, Any]:
    return {
        "batch": batch.batch_id, "jobs": batch.count, "first_sequence": batch.first_sequence,
        "state": progress(batch, head, depth), "block": batch.block_number, "gas": batch.gas_used,
        "gas_per_job": None if batch.gas_used is None else round(batch.gas_used / batch.count, 2),
        "closed": batch.closed_at, "final_after_s": seconds_to_final(batch), "tx": batch.tx_hash, "root": batch.root,
        "repairs": len(batch.repairs),
    }  # fmt: skip


def _head(context: Context, out: Out) -> int | None:
    """The newest block, or none with a word: batches are shown without a chain too."""
    try:
        with _node(context) as rpc:
            return rpc.number("eth_blockNumber")
    except ChainUnavailable as exc:
        out.say(f"the chain is away: {exc}")
        return None


@chain.command(help="Batches, newest first.\n\nExample: zjops chain batches --state mined -o json")
def batches(
    state: Annotated[str | None, typer.Option(help="closed, sent, mined or final.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    before: Annotated[int | None, typer.Option(help="Only those below this batch.", min=1)] = None,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """A page of batches with gas, state and time to finality."""
    found, out, admin = resolve(context, home), Out(output, json, quiet), None
    admin = Admin(found)
    page, depth = admin.batches(state=state, limit=limit, before=before), depth_of(admin.relayer().finality)
    head = _head(found, out)
    out.rows("zjops.batches/1", [_row(batch, head, depth) for batch in page.batches])
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
    file = published(view, found.log_dir)
    row["repairs"] = [msgspec.to_builtins(one) for one in view.repairs]
    if out.format in (Format.JSON, Format.JSONL):
        out.record("zjops.batch/1", row | {"leaf_file": msgspec.to_builtins(file), "leaves": leaves})
    else:
        out.record("zjops.batch/1", row | {"leaf_file": file.state, "leaf_file_sha256": file.digest})
        out.say("")
        out.rows("zjops.leaves/1", leaves, ("sequence", "jobId", "hash"))
    out.say(f"leaf file: {file.detail}")
    if file.state in WRONG:
        raise typer.Exit(BROKEN)


@chain.command(help="Replace the newest blocks of a development chain.\n\nExample: zjops chain reorg --depth 2")
def reorg(
    depth: Annotated[int, typer.Option("--depth", help="How many blocks.", min=1, max=DEPTH_MOST)],
    drop: Annotated[bool, typer.Option("--drop", help="Their transactions are lost, not only unmined.")] = False,
    home: Home = None, context: ContextName = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Reorganise a development chain; what is final is then no longer what it was, if the depth is larger."""
    found, out = resolve(context, home), Out(quiet=quiet)
    with _node(found) as rpc:
        development = Development(rpc)
        before, old = development.head()
        if development.undoes_final(found.rule(), depth):
            out.say(f"note: {found.finality} counts as final here; what was final is undone by a depth of {depth}")
        development.reorganise(depth, drop=drop)
        after, new = development.head()
    kept = "their transactions are lost" if drop else "their transactions wait for a block again"
    out.say(f"replaced {depth} blocks below {before} ({old}); {kept}; the head is {after} ({new})")


@chain.command(help="Make blocks of a development chain now.\n\nExample: zjops chain mine 3")
def mine(
    count: Annotated[int, typer.Argument(min=1, max=1000)] = 1,
    home: Home = None, context: ContextName = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Mine by hand, beside the block timer."""
    with _node(resolve(context, home)) as rpc:
        development = Development(rpc)
        development.mine(count)
        number, found = development.head()
    Out(quiet=quiet).say(f"the head is {number} ({found})")


@chain.command(help="Hold confirmations back, after a preview: at the contract, or at the relayer.\n\n"
               "Example: zjops chain pause contract --yes")  # fmt: skip
def pause(
    target: Target = "contract", yes: Yes = False, reason: Reason = None, key_file: KeyFile = None,
    home: Home = None, context: ContextName = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Pause."""
    _turn("pause", target, yes, reason, key_file, resolve(context, home), Out(quiet=quiet))


@chain.command(help="Let confirmations go on, after a preview.\n\nExample: zjops chain unpause contract --yes")
def unpause(
    target: Target = "contract", yes: Yes = False, reason: Reason = None, key_file: KeyFile = None,
    home: Home = None, context: ContextName = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Unpause."""
    _turn("unpause", target, yes, reason, key_file, resolve(context, home), Out(quiet=quiet))


def _turn(
    verb: Literal["pause", "unpause"], target: str, yes: bool, reason: str | None, key_file: Path | None,
    context: Context, out: Out,
) -> None:  # fmt: skip
    if target not in ("contract", "relayer"):
        raise UsageError(f"{verb} contract or relayer, not {target}")
    view, wanted = Admin(context).relayer(), verb == "pause"
    reader = ChainReader(context)
    stands = reader.paused() if target == "contract" else view.paused
    for line in _preview(target, verb, view, context, other=view.paused if target == "contract" else reader.paused()):
        print(line, file=sys.stderr)
    if stands == wanted:
        out.say(f"the {target} is {'paused' if wanted else 'not paused'} already; nothing was done")
        return
    agree(yes)
    if target == "relayer":
        Admin(context).pause_relayer(wanted, reason)
        out.say(f"the relayer is {'paused' if wanted else 'not paused'}")
    else:
        block = _send(context, verb, key_file)
        out.say(f"the contract is {'paused' if wanted else 'not paused'} since block {block}")


def _preview(
    target: str, verb: str, view: RelayerView, context: Context, *, other: bool
) -> Iterator[str]:  # fmt: skip
    """What the act touches, what it does not, and which of the two pauses it is."""
    waiting = f"{view.open_batches} batches of {view.open_jobs} jobs, and {view.waiting_jobs} jobs in none yet"
    if target == "contract":
        yield f"{verb} the contract {context.contract} on chain {context.chain_id}, a transaction by its pauser:"
        yield "  touches every relayer and sender, not only ours; whoever reads and verifies is not touched"
    else:
        yield f"{verb} the relayer of {context.name}, a setting of this platform by the operators' API:"
        yield "  touches what this platform sends; the contract takes confirmations of others all the same"
    yield f"  {'holds back' if verb == 'pause' else 'lets go on'}: {waiting}"
    yield "  jobs are accepted, run and charged as before; their state stays completed until they are final"
    if other:
        yield f"  note: the {'relayer' if target == 'contract' else 'contract'} is paused too"


def _send(context: Context, verb: str, key_file: Path | None) -> int:
    from zjops.client.wallet import Wallet, key_of

    with _node(context) as rpc:
        wallet = Wallet(rpc, key_of(context, key_file))
        data = "0x" + keccak256(f"{verb}()".encode())[:4].hex()
        receipt = wallet.mined(wallet.send(context.contract, data, PAUSE_GAS))
    return int(receipt["blockNumber"], 16)


chain.command(
    help="Anchor again what a reorganisation beyond finality took away, and give other numbers to batches whose own "
    "something else took, after a preview.\n\n"
    "Example: zjops chain reanchor --all --yes"
)(reanchor)
groups = {"chain": chain}
