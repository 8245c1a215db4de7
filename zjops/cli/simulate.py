"""simulate: a synthetic month, played by the platform's own code, or a log of any volume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zjops.cli.options import Json, Output, Quiet
from zjops.cli.output import Format, Out

MIB = 1 << 20


def simulate(
    out: Annotated[Path, typer.Option("--out", help="A folder that is empty or not there yet.")],
    days: Annotated[int, typer.Option(help="How many days.")] = 30,
    tenants: Annotated[int, typer.Option(help="How many tenants, on all plans.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    first_day: Annotated[str | None, typer.Option("--from", help="The first day, UTC; else 2026-09-01.")] = None,
    jobs: Annotated[int | None, typer.Option(help="About so many jobs; else 35 a tenant and day.")] = None,
    volume: Annotated[str | None, typer.Option(help="Only a log of so many events (100M), by arithmetic.")] = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Play a synthetic month: tenants with their rhythm, an incident, an abuser, changes of plan, credits."""
    from zjops.cli.progress import Progress
    from zjops.client.simulation import Reached
    from zjops.client.simulation import simulate as run

    given = {"out": out.expanduser().absolute(), "days": days, "tenants": tenants, "seed": seed, "from": first_day,
             "jobs": jobs, "volume": volume}  # fmt: skip
    # With the sign of equality, so that a value may begin with a minus.
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    told, bar = Out(output, json, quiet), Progress("played" if volume is None else "made", quiet=quiet)

    def heard(at: Reached) -> None:
        count = f"{at.jobs:,} jobs" if at.jobs is not None else f"{at.events or 0:,} events"
        bar.reached(at.share, count, at.seconds)

    try:
        report = run(options, heard)
    finally:
        bar.end()
    told.record(report.pop("schema"), report, _people(report, out))
    told.say("\n" + "\n".join(_next(report, out)))


def _people(report: dict[str, Any], out: Path) -> dict[str, str]:
    """The report as lines for people, with the folder as they named it."""
    size = f"{report['files']:,} files, {report['bytes'] / MIB:,.1f} MiB in {out}"
    plans = ", ".join(f"{count:,} {plan}" for plan, count in sorted(report["tenants"].items(), key=lambda p: p[1]))
    if "story" not in report:
        return {
            "events": f"{report['events']:,} of {report['jobs']:,} jobs, {report['confirmed']:,} confirmed",
            "tenants": plans, "days": str(report["days"]), "how": "by arithmetic: no platform was played",
            "written": size, "took": f"{report['seconds']:,.1f} s, {report['events_a_second']:,} events a second",
        }  # fmt: skip
    refused = ", ".join(f"{count:,} {code}" for code, count in report["refused"].items())
    incident, cast = report["incident"], report["story"]
    return {
        "span": f"{report['from']} to {report['to']} (synthetic, seed {report['seed']})", "tenants": plans,
        "jobs": f"{report['jobs']:,} accepted in {report['requests']:,} requests", "refused": refused or "none",
        "events": f"{report['events']:,}, {report['charged_units']:,} compute units charged",
        "chain": f"{report['batches']:,} batches, every outcome final",
        "incident": f"store away {incident['from']} to {incident['store_back']}, workers until "
        f"{incident['workers_back']}",
        "abuser": f"{cast['abuser']} floods the interface and shares devices with {cast['double']}",
        "changes": f"{cast['upgrade']} goes up, {cast['downgrade']} goes down, {cast['climber']} is moved up, "
        f"{cast['credit']} has a credit",
        "money": f"{cast['overage']} pays overage, {cast['negotiated']} has an agreement of its own",
        "written": size, "sha256": report["sha256"], "took": f"{report['seconds']:,.1f} s",
    }  # fmt: skip


def _next(report: dict[str, Any], out: Path) -> list[str]:
    """What can be done with it."""
    lines = [f"prove it:     zjops audit --world {out}"] if "story" in report else []
    log = out / "log"
    return [
        *lines,
        f"look into it: zjops usage --by tenant --log {log}",
        f"ask it:       zjops query --log {log} --schema",
    ]


commands = {"simulate": simulate}
