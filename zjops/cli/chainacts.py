"""What can be done to a chain: mine, reorg, and hold confirmations back at the contract or at the relayer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Yes, agree
from zjops.cli.output import Format, Out
from zjops.client.admin import Admin
from zjops.client.chain import ChainReader
from zjops.client.development import Development
from zjops.client.rpc import Rpc, node_of
from zjops.client.standing import has_halted, held_back, standstill
from zjops.config import Context, resolve
from zjops.domain.errors import UsageError
from zjops.domain.merkle import keccak256
from zjops.domain.wire_chain import RelayerView

PAUSE_GAS = 100_000
DEPTH_MOST = 256
Verb = Literal["pause", "unpause"]
Target = Annotated[
    Literal["contract", "relayer"], typer.Argument(metavar="[contract|relayer]", help="What to hold back.")
]
Why = Annotated[str | None, typer.Option("--reason", help="For the relayer: goes into the audit log.")]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="For the contract: a file with the pauser's key.")]


def reorg(
    depth: Annotated[int, typer.Option("--depth", help="How many blocks.", min=1, max=DEPTH_MOST)],
    drop: Annotated[bool, typer.Option("--drop", help="Their transactions are lost, not only unmined.")] = False,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Reorganise a development chain; what is final is then no longer what it was, if the depth is larger."""
    found, out = resolve(context, home), Out(output, json, quiet)
    with node_of(found) as rpc:
        development = Development(rpc)
        before, old = development.head()
        undone = _undoes_final(found, rpc, before, depth)
        development.reorganise(depth, drop=drop)
        after, new = development.head()
    if undone:
        out.say(f"note: {found.finality} counts as final here; what was final is undone by a depth of {depth}")
    kept = "their transactions are lost" if drop else "their transactions wait for a block again"
    out.done(
        "zjops.reorg/1", f"replaced {depth} blocks below {before} ({old}); {kept}; the head is {after} ({new})",
        depth=depth, dropped=drop, undoes_final=undone, before=before, before_hash=old, height=after, hash=new,
    )  # fmt: skip


def _undoes_final(context: Context, rpc: Rpc, head: int, depth: int) -> bool:
    """Whether one of the newest blocks is final already: they are the blocks above `head - depth`."""
    rule = context.rule()
    tagged = head if rule.tag is None else ChainReader(context, rpc.http).tagged(rule.tag)
    return rule.reached(head - depth + 1, head, tagged)


def mine(
    count: Annotated[int, typer.Argument(min=1, max=1000)] = 1,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Mine by hand, beside the block timer."""
    with node_of(resolve(context, home)) as rpc:
        development = Development(rpc)
        development.mine(count)
        number, found = development.head()
    Out(output, json, quiet).done("zjops.head/1", f"the head is {number} ({found})", height=number, hash=found)


def pause(
    target: Target = "contract", yes: Yes = False, reason: Why = None, key_file: KeyFile = None,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Pause."""
    _check(target, reason, key_file)
    _turn("pause", target, yes, reason, key_file, resolve(context, home), Out(output, json, quiet))


def unpause(
    target: Target = "contract", yes: Yes = False, reason: Why = None, key_file: KeyFile = None,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Unpause."""
    _check(target, reason, key_file)
    _turn("unpause", target, yes, reason, key_file, resolve(context, home), Out(output, json, quiet))


def _check(target: str, reason: str | None, key_file: Path | None) -> None:
    """Refuse what would be ignored. Raises `UsageError`."""
    if target == "relayer" and key_file is not None:
        raise UsageError("--key-file goes with contract: the relayer is paused by the operators' API, without a key")
    if target == "contract" and reason is not None:
        raise UsageError("--reason goes with relayer: a transaction to the contract carries none")


def _turn(
    verb: Verb, target: str, yes: bool, reason: str | None, key_file: Path | None, context: Context, out: Out
) -> None:  # fmt: skip
    view, wanted = Admin(context).relayer(), verb == "pause"
    held, block = ChainReader(context).paused(), None
    stands, other = (held, view.paused) if target == "contract" else (view.paused, held)
    now = f"the {target} is {'paused' if wanted else 'not paused'}"
    if stands == wanted:
        text = f"{now}{' already' if wanted else ''}; nothing was done"
    else:
        out.preview(_preview(target, verb, view, context, other=other), agreed=yes)
        agree(yes)
        if target == "relayer":
            Admin(context).pause_relayer(wanted, reason)
        else:
            block = _send(context, verb, key_file)
        text = now if block is None else f"{now} since block {block}"
    out.done("zjops.pause/1", text, target=target, paused=wanted, changed=stands != wanted, block=block)


def _preview(
    target: str, verb: Verb, view: RelayerView, context: Context, *, other: bool
) -> Iterator[str]:  # fmt: skip
    """What the act touches, what it does not, and which of the two pauses it is."""
    if target == "contract":
        yield f"{verb} the contract {context.contract} on chain {context.chain_id}, a transaction by its pauser:"
        yield "  touches every relayer and sender, not only ours; whoever reads and verifies is not touched"
    else:
        yield f"{verb} the relayer of {context.name}, a setting of this platform by the operators' API:"
        yield "  touches what this platform sends; the contract takes confirmations of others all the same"
    yield f"  {'holds back' if verb == 'pause' else 'lets go on'}: {held_back(view)}"
    yield "  jobs are accepted, run and charged as before; their state stays completed until they are final"
    if has_halted(view):
        yield f"  note: {standstill(view)}"
        if target == "relayer":
            yield "  note: it would only stop again; what is gone is anchored again by zjops chain reanchor"
    if other:
        yield f"  note: the {'relayer' if target == 'contract' else 'contract'} is paused too"


def _send(context: Context, verb: Verb, key_file: Path | None) -> int:
    from zjops.client.wallet import Wallet, key_of

    with node_of(context) as rpc:
        wallet = Wallet(rpc, key_of(context, key_file))
        data = "0x" + keccak256(f"{verb}()".encode())[:4].hex()
        receipt = wallet.mined(wallet.send(context.contract, data, PAUSE_GAS))
    return int(receipt["blockNumber"], 16)


def add_to(chain: typer.Typer) -> None:
    """Make these commands of the group."""
    for act, help_text, example in (
        (reorg, "Replace the newest blocks of a development chain.", "zjops chain reorg --depth 2"),
        (mine, "Make blocks of a development chain now.", "zjops chain mine 3"),
        (pause, "Hold confirmations back, after a preview: at the contract, or at the relayer.",
         "zjops chain pause contract --yes"),
        (unpause, "Let confirmations go on, after a preview.", "zjops chain unpause contract --yes"),
    ):  # fmt: skip
        chain.command(help=f"{help_text}\n\nExample: {example}")(act)
