"""chain reanchor: the way on after a reorganisation that was deeper than finality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Reason, Yes, agree
from zjops.cli.output import Format, Out
from zjops.cli.text import shortened
from zjops.client.admin import Admin
from zjops.client.anchoring import Planned, repairs_of
from zjops.client.chain import ChainReader
from zjops.client.standing import has_halted
from zjops.config import Context, resolve
from zjops.domain.anchoring import Act
from zjops.domain.clock import SystemClock
from zjops.domain.errors import InvariantError, UnreachableError, UsageError
from zjops.domain.wire_chain import RelayerView

LOOK_S = 0.25


def reanchor(
    batch: Annotated[int | None, typer.Option("--batch", help="Only this one.", min=1)] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are gone, as without --batch.")] = False,
    yes: Yes = False, reason: Reason = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait until the relayer has done it.", min=0)] = 60,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Show what is lost and what would be sent; then have the relayer do it."""
    if batch is not None and every:
        raise UsageError("name one batch or --all, not both")
    found, out = resolve(context, home), Out(output, json, quiet)
    admin = Admin(found)
    view, plan = admin.relayer(), repairs_of(admin, ChainReader(found))
    chosen = plan if batch is None else _only(batch, plan, admin)
    if not chosen and (batch is not None or not has_halted(view)):
        what = "every batch that was final" if batch is None else f"batch {batch}"
        out.say(f"nothing to anchor again: {what} stands in its block or is on its way; nothing was done")
        return
    if chosen:
        rows = [_row(one) for one in chosen]
        out.rows("zjops.reanchor/1", rows, _COLUMNS, people=[_brief(row) for row in rows])
    out.preview(_preview(chosen, plan, view, found), agreed=yes)
    agree(yes)
    admin.reanchor(batch, reason)
    _tell(out, _done(admin, wait), chosen, found)


def _only(batch: int, plan: Sequence[Planned], admin: Admin) -> list[Planned]:
    """The one that was named. Raises `UsageError` when it cannot go alone, `Problem` when there is none such."""
    admin.batch(batch)
    chosen = [one for one in plan if one.repair.batch == batch]
    if chosen and any(one.repair.moves for one in plan):
        raise UsageError("numbers were taken by something else, so batches move together: zjops chain reanchor --all")
    return chosen


_COLUMNS = ("batch", "jobs", "act", "was_in_block", "is_in_block", "first_sequence", "new_first_sequence", "root")


def _row(one: Planned) -> dict[str, Any]:
    values = (
        one.repair.batch, one.repair.jobs, one.repair.act.value, one.batch.block_number,
        None if one.now is None else one.now.block, one.repair.before, one.repair.after,
        None if one.repair.moves else one.batch.root,
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """The same on a line of a narrow terminal."""
    names = ("batch", "jobs", "act", "was in", "is in", "from", "new from", "root")
    found = dict(zip(names, row.values(), strict=True))
    return found | {"root": shortened(found["root"] or "")}


def _preview(
    chosen: Sequence[Planned], plan: Sequence[Planned], view: RelayerView, context: Context
) -> Iterator[str]:  # fmt: skip
    if not chosen:
        yield "every batch that was final stands in its block: only the relayer, which had stopped, goes on"
        return
    gone = [one for one in chosen if one.batch.state == "final"]
    yield f"final by {context.finality} and no longer in their blocks: {_counted(gone)}"
    yield f"  adopted where they stand again: {_counted([one for one in chosen if one.repair.act is Act.ADOPT])}"
    lost = [one for one in chosen if one.repair.act is Act.SEND and not one.repair.moves]
    yield f"  lost, sent again with the same numbers, leaves and root: {_counted(lost)}"
    if moved := [one for one in chosen if one.repair.moves]:
        yield f"  under other numbers, so with new leaves and a new root: {_counted(moved)}"
        yield "    something else took the former ones on the chain; proofs of these jobs must be fetched anew"
    yield "  no job changes its state, nothing is billed again; no charge, event or webhook is made a second time"
    yield "  they count as final again once they are deep enough; until then their jobs have no proof"
    if len(chosen) < len(plan):
        yield f"  left as they are, so that the relayer stops again: {_counted([o for o in plan if o not in chosen])}"
    if view.paused:
        yield f"  the relayer {'goes on afterwards' if has_halted(view) else 'is paused by an operator and stays so'}"


def _counted(some: Sequence[Planned]) -> str:
    """How many batches and jobs, and which."""
    if not some:
        return "none"
    named = ", ".join(str(one.repair.batch) for one in some[:10]) + (", …" if len(some) > 10 else "")
    batches, jobs = len(some), sum(one.repair.jobs for one in some)
    return f"{batches} batch{'es' * (batches > 1)} of {jobs} job{'s' * (jobs > 1)} ({named})"


def _done(admin: Admin, wait_s: float) -> RelayerView:
    """The relayer once it has done what was asked. Raises `InvariantError` when it refuses."""
    clock = SystemClock()
    deadline = clock.monotonic() + wait_s
    while True:
        view = admin.relayer()
        if view.reanchor is None:
            return view
        if view.reanchor.refused is not None:
            raise InvariantError(f"the relayer refuses: {view.reanchor.refused}")
        if clock.monotonic() >= deadline:
            why = view.reason or ("no relayer is active" if view.owner is None else "it has not looked yet")
            raise UnreachableError(f"asked for, not done within {wait_s:g} s ({why}); see zjops chain status")
        clock.pause(LOOK_S)


def _tell(out: Out, view: RelayerView, chosen: Sequence[Planned], context: Context) -> None:
    out.say(f"done: {_counted(chosen)}; final again by {context.finality}: zjops chain batches, zjops audit")
    if view.paused:
        out.say("the relayer is paused and sends nothing: zjops chain unpause relayer")
