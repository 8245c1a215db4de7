"""audit: the proof that nothing was lost, doubled or billed twice."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer

from zjops.cli.exits import BROKEN
from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.config import Context, resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from zjops.audit.findings import Finding, Report
    from zjops.client.history import Record

SHOWN = 20


def audit(
    history: Annotated[Path | None, typer.Option("--history", help="What clients were told (JSON lines).")] = None,
    export: Annotated[Path | None, typer.Option("--export", help="A saved export, not the API's.")] = None,
    world: Annotated[Path | None, typer.Option("--world", help="Audit a finished world of zjops simulate.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for what is on its way.", min=0)] = 10,
    settled: Annotated[bool, typer.Option("--settled", help="Every job must have ended and be final.")] = False,
    findings: Annotated[Path | None, typer.Option("--findings", help="Write every finding there.")] = None,
    chain: Annotated[bool, typer.Option("--chain/--no-chain", help="Compare with the contract.")] = True,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Compare what clients were told, the store, the log and the chain, job by job; exit 4 when they differ."""
    from zjops.client.history import read_history

    records = list(read_history(history)) if history else []
    out = Out(output, json, quiet)
    if world is None:
        asked = _Asked(resolve(context, home, alive=export is None), export, wait, settled, chain)
        report = _of_platform(asked, records, out)
    elif export is None:
        report = _of_world(world, records, chain)
    else:
        raise UsageError("--world brings its own export; leave --export out")
    if findings is not None:
        _write(findings, [*report.findings, *report.repaired])
    _tell(out, report)
    _list(out, report.findings)
    _list(out, report.repaired)
    if report.story is not None:
        for line in report.story.lines():
            (out.text if out.format is Format.TABLE else out.say)(line)
    if way_on := still_going(report):
        out.say(way_on)
    if not report.ok:
        raise typer.Exit(BROKEN)


class _Asked(NamedTuple):
    """Which platform is audited, by a saved export or a fresh one, and how strictly."""

    context: Context
    export: Path | None
    wait_s: float
    settled: bool
    chain: bool


def _of_platform(asked: _Asked, records: list[Record], out: Out) -> Report:
    """The audit of a platform; what was synthetic before it began is left out, and said to be."""
    from zjops.audit.records import WHOLE, left_out, part_after
    from zjops.audit.run import audit as run
    from zjops.client.chain import ChainReader

    found, export = asked.context, asked.export
    log = Path(found.log_dir) if found.log_dir else None
    part = part_after(log) if log else WHOLE
    with tempfile.TemporaryDirectory(prefix="zjops-audit-") as folder:
        report = run(
            records, exporter(found, export, Path(folder)), log,
            ChainReader(found) if asked.chain and found.contract else None, expect_settled=asked.settled,
            wait_s=0 if export else asked.wait_s, clock=SystemClock(), part=part,
        )  # fmt: skip
    if log and part.after:
        out.say(
            f"{left_out(log, part):,} synthetic jobs of before are left out of all but the sums of each month; "
            f"prove them by: zjops audit --world {log.parent / 'world'}"
        )
    report = report if export is None else report.forgiving()
    if report.late:
        out.say(
            f"{len(report.late)} events are not in the log yet, which is {report.behind} rows behind the store; "
            "zjops up lets it catch up"
        )
    return report


def _write(path: Path, found: Sequence[Finding]) -> None:
    """Every finding as a JSON line. Raises `UsageError`."""
    try:
        path.write_text("".join(msgspec.json.encode(one._asdict()).decode() + "\n" for one in found))
    except OSError as exc:
        raise UsageError(f"{path} cannot be written ({exc.strerror})") from exc


def _of_world(folder: Path, records: list[Record], chain: bool) -> Report:
    """The audit of a world in which everything has ended, with the chain that was saved beside its export."""
    from zjops.audit.records import part_before
    from zjops.audit.run import audit as run
    from zjops.audit.world import CHAIN, EXPORT, SavedChain, log_of, require_world

    require_world(folder)
    saved, log = SavedChain(folder / CHAIN) if chain else None, log_of(folder)
    return run(
        records, lambda: folder / EXPORT, log, saved, expect_settled=True, wait_s=0, clock=SystemClock(),
        part=part_before(log),
    )  # fmt: skip


def _tell(out: Out, report: Report) -> None:
    """The counts, and each month's identities: in the record for programs, as sentences for people."""
    said = report.as_json()
    if out.format is Format.JSON:
        out.text(_json(said))
        return
    # People read findings as lines of their own; whoever reads rows has nothing but the record.
    left = {"tie_out", "counterexample"} | ({"findings", "repaired", "late"} if out.format is Format.TABLE else set())
    out.record("", {name: value for name, value in said.items() if name not in left})
    for tied in report.tied:
        for identity in tied.identities:
            out.say(f"{tied.month}: {identity.text()}")


def still_going(report: Report) -> str:
    """What to do where nothing is wrong but that jobs, which --settled wants to have ended, are on their way."""
    if not report.only_late or all(one.kind not in ("not_settled", "not_final") for one in report.findings):
        return ""
    return "nothing else is wrong: wait longer with --wait, or leave --settled out while jobs keep coming"


def _list(out: Out, found: Sequence[Finding]) -> None:
    """The first findings: data of a table, which has them nowhere else, and talk beside the other formats."""
    tell = out.text if out.format is Format.TABLE else out.say
    for finding in found[:SHOWN]:
        tell(f"{finding.kind}: {finding.job_id} {finding.text}")
    if len(found) > SHOWN:
        tell(f"… and {len(found) - SHOWN} more; have them all by -o json, or written with --findings FILE")


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def exporter(context: Context, saved: Path | None, folder: Path) -> Any:
    """How an export is had: the saved one, or a fresh one of the API at every question."""
    from zjops.client.admin import Admin

    if saved is not None:
        if not saved.exists():
            raise UnreachableError(f"there is no export {saved}; make it with: python -m simulator export --home DIR")
        return lambda: saved
    admin, target = Admin(context), folder / "export.jsonl"

    def take() -> Path:
        admin.export(target)
        return target

    return take


commands = {"audit": audit}
