"""load: load tests with an honest verdict."""

from __future__ import annotations

import enum
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zjops.cli.exits import BREACHED, BROKEN, CHECK_FAILED, FINE, INTERRUPTED, UNTRUSTED, worst
from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.config import find_home, resolve
from zjops.domain.errors import UsageError

if TYPE_CHECKING:
    from zjops.load.knee import Found
    from zjops.load.outcome import Outcome
    from zjops.load.run import Asked

load = typer.Typer()
DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h|)")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
WORKERS_MOST = 64
STALLS_TOLD_S = 0.1
RATIOS = ("percentile", "first_ms", "second_ms", "ratio", "low", "high", "verdict")


class Kind(enum.StrEnum):
    """How arrivals come."""

    FIXED = "fixed"
    POISSON = "poisson"


Duration = Annotated[str | None, typer.Option("--duration", metavar="TIME", help="Of all phases, such as 30s or 5m.")]
Rate = Annotated[float | None, typer.Option("--rate", help="The highest rate, in arrivals a second.", min=0.001)]
Arrivals = Annotated[Kind | None, typer.Option("--arrivals", help="Evenly, or by chance.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same arrivals.", min=0, max=2**31)]
Workers = Annotated[int, typer.Option("--workers", help="Processes of the generator.", min=1, max=WORKERS_MOST)]
OutDir = Annotated[Path | None, typer.Option("--out", help="A folder for the report, in place of one in runs/.")]


def seconds_of(text: str) -> float:
    """A duration. Raises `UsageError`."""
    found = DURATION.fullmatch(text)
    if found is None or not float(found[1]):
        raise UsageError(f"--duration {text}: write it as 30s, 5m or 1h")
    return float(found[1]) * SECONDS[found[2]]


@load.command("run", help="Run a scenario, follow its jobs to the chain, audit them, and judge.\n\n"
                          "Example: zjops load run sustained --duration 1m --rate 500")  # fmt: skip
def run(
    scenario: Annotated[str, typer.Argument(help="A name of zjops load list, or a TOML file.")],
    duration: Duration = None, rate: Rate = None, arrivals: Arrivals = None, seed: Seed = 7, workers: Workers = 1,
    out: OutDir = None, audit: Annotated[bool, typer.Option("--audit/--no-audit", help="Prove every job.")] = True,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Exit 0 pass, 4 the audit found something, 5 cannot tell, 99 a threshold is breached, 130 interrupted."""
    from zjops.cli.progress import Progress
    from zjops.load.run import Asked
    from zjops.load.scenario import changed, find

    told = Out(output, json, quiet)
    chosen = changed(
        find(scenario), duration_s=seconds_of(duration) if duration else None, rate=rate,
        arrivals=None if arrivals is None else arrivals.value,
    )  # fmt: skip
    options = {"--duration": duration, "--rate": rate, "--arrivals": arrivals, "--seed": seed, "--workers": workers,
               "--context": context, "--home": home}  # fmt: skip
    command = ["zjops", "load", "run", scenario, *([] if audit else ["--no-audit"])]
    command += [word for name, value in options.items() if value is not None for word in (name, f"{value}")]
    bar = Progress(f"load {chosen.name}", quiet=quiet)
    asked = Asked(
        chosen, resolve(context, home), context, seed, workers, shlex.join(command), out, audit, told.say, bar.reached
    )
    try:
        code = _search(asked, told) if chosen.search_to is not None else _single(asked, told)
    finally:
        bar.end()
    raise typer.Exit(code)


def _single(asked: Asked, told: Out) -> int:
    from zjops.load import report
    from zjops.load.outcome import summary
    from zjops.load.run import conduct

    outcome, folder = conduct(asked)
    report.write(outcome, folder)
    record = summary(outcome)
    told.record(record.pop("schema"), record, _people(outcome))
    _explain(outcome, told)
    told.say(f"report: {folder / 'report.html'}\nrepeat: {asked.command}")
    return exit_code(outcome)


def exit_code(outcome: Outcome) -> int:
    """What the command ends with."""
    if outcome.interrupted:
        return INTERRUPTED
    codes = [{"pass": FINE, "fail": BREACHED, "not_trusted": UNTRUSTED}[outcome.verdict]]
    if outcome.broken:
        codes.append(BROKEN)
    return worst(codes)


def _people(outcome: Outcome) -> dict[str, str]:
    """The summary as lines for people."""
    from zjops.load.outcome import summary

    told = summary(outcome)
    times = (f"{name} {told[f'{name}_ms']:,.1f}" for name in ("p50", "p95", "p99", "p999", "max")
             if told[f"{name}_ms"] is not None)  # fmt: skip
    counts = (f"{told[name]:,} {name}" for name in ("accepted", "shed", "errors", "timeouts", "dropped"))
    lines = {
        "scenario": told["scenario"],
        "rate": f"{told['offered_rps']:,.1f} a second offered, {told['achieved_rps']:,.1f} sent",
        "requests": ", ".join(counts), "ms from when due": ", ".join(times) or "nothing was measured",
    }  # fmt: skip
    if outcome.final_within_s is not None:
        lines["final"] = f"every job within {outcome.final_within_s:,.1f} s of the last acceptance"
    healthy = next((one.value for one in outcome.judged if one.threshold.metric == "healthy_within_s"), None)
    if healthy is not None:
        lines["healthy"] = f"{healthy:,.1f} s after the load"
    if outcome.jobs_per_s is not None:
        lines["to the chain"] = f"{outcome.jobs_per_s:,.0f} jobs a second"
    lines["tenants"] = _tenants(outcome)
    for cost in outcome.costs:
        if cost.us_a_job is not None:
            roles = f" ({', '.join(cost.roles)})" if cost.roles else ""
            lines[f"cost {cost.process}"] = f"{cost.us_a_job:,.0f} us of a core a job, {cost.core:.0%} of a core{roles}"
    if outcome.stalls is not None and outcome.stalls.total_s >= STALLS_TOLD_S:
        total_s, most_s = outcome.stalls
        lines["disk"] = f"kept this machine waiting for {total_s:,.1f} s, {most_s:.2f} s between two looks at most"
    if outcome.audit is not None:
        lines["audit"] = _audit_line(outcome.audit)
    lines["trusted"] = "yes" if outcome.trusted else "no"
    lines["verdict"] = outcome.verdict.replace("not_trusted", "cannot tell")
    return lines


def _tenants(outcome: Outcome) -> str:
    if not outcome.tenants:
        return "none were made"
    values = ", ".join(f"{name} {value:,}" for name, value in outcome.tenants[0].values.items())
    return f"{len(outcome.tenants)} of plan {outcome.tenants[0].plan}, negotiated: {values}"


def _audit_line(audit: dict[str, Any]) -> str:
    kinds = ("lost", "doubled", "double_billed", "double_confirmed")
    held = "holds" if audit["ok"] else "BROKEN"
    return f"{held}: {audit['accepted']:,} jobs, " + ", ".join(f"{audit[kind]} {kind}" for kind in kinds)


def _explain(outcome: Outcome, told: Out) -> None:
    """What did not hold, and what is doubtful."""
    phases = outcome.measured.scenario.phases
    for one in outcome.judged:
        if not one.ok and not (outcome.interrupted and one.value is None):
            where = "" if one.threshold.phase is None else f" in phase {phases[one.threshold.phase].name}"
            value = "nothing was measured" if one.value is None else f"it is {one.value:,.4g}"
            told.say(f"breached: {one.threshold.text}{where} ({one.threshold.source}); {value}")
    for flaw in outcome.flaws:
        told.say(f"doubtful: {flaw.phase}: {flaw.text}" if flaw.phase else f"doubtful: {flaw.text}")
    if outcome.gave_up:
        told.say(f"ended early: {outcome.gave_up} could not hold any more")
    if outcome.interrupted:
        told.say("interrupted: this is what was measured until then; its jobs were neither awaited nor audited")
    for finding in (outcome.audit or {}).get("findings", []):
        told.say(f"audit: {finding['kind']}: {finding['job_id']} {finding['text']}")
    for line in outcome.story:
        told.say(line)


def _search(asked: Asked, told: Out) -> int:
    """Run step after step until the highest rate that holds is known."""
    from zjops.load.knee import SCHEMA
    from zjops.load.search import PAGE, search

    found, folder = search(asked)
    told.rows(
        SCHEMA, found.rows, scenario=found.scenario, knee_rps=found.knee_rps, limited_by=found.limited_by,
        broken=found.broken,
    )  # fmt: skip
    told.say(f"the knee: {found.text}\nreport: {folder / PAGE}\nrepeat: {found.command}")
    return knee_code(found)


def knee_code(found: Found) -> int:
    """What a search ends with: where no rate held, by what that was limited."""
    from zjops.load.knee import INTERRUPTION, PLATFORM

    if found.limited_by == INTERRUPTION:
        return INTERRUPTED
    if found.broken:
        return BROKEN
    if found.knee_rps is not None:
        return FINE
    return BREACHED if found.limited_by == PLATFORM else UNTRUSTED


@load.command("list", help="The scenarios.\n\nExample: zjops load list")
def list_(output: Output = Format.TABLE, json: Json = False) -> None:
    """One row each."""
    from zjops.load.scenario import shipped

    rows = [
        {
            "name": name, "seconds": found.duration_s, "rate": None if found.model == "closed" else found.rate,
            "model": found.model, "requests": ", ".join(found.mix), "what": found.text,
        }
        for name, found in shipped().items()
    ]  # fmt: skip
    Out(output, json).rows("zjops.load.scenarios/1", rows)


@load.command("compare", help="Whether the second of two sides is slower, by a block bootstrap.\n\n"
                              "Example: zjops load compare 'before-*' 'after-*' -o md")  # fmt: skip
def compare(
    first: Annotated[str, typer.Argument(help="Runs: folders or names, with commas between, also with *.")],
    second: Annotated[str, typer.Argument(help="The runs to compare with them.")],
    margin: Annotated[float, typer.Option(help="So many per cent slower is still the same.", min=0)] = 10,
    seed: Seed = 7, junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML there.")] = None,
    home: Home = None, output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """At least three interleaved runs a side. Exit 0 same, 1 regression, 5 cannot tell."""
    from zjops.load import compared

    told, folder = Out(output, json, quiet), find_home(home)
    sides = compared.side(first, folder), compared.side(second, folder)
    found = compared.compare(*sides, seed=seed, margin=margin / 100)
    told.rows(compared.SCHEMA, compared.rows(found), RATIOS, verdict=found.verdict, doubts=found.doubts)
    if told.format is Format.MD:
        told.text(compared.markdown_end(found))
    for doubt in found.doubts:
        told.say(f"doubtful: {doubt}")
    told.say(f"verdict: {found.verdict}")
    if junit is not None:
        try:
            junit.write_text(compared.junit(found))
        except OSError as exc:
            raise UsageError(f"{junit} cannot be written ({exc.strerror})") from exc
    raise typer.Exit({"same": FINE, "regression": CHECK_FAILED, "cannot tell": UNTRUSTED}[found.verdict])


groups = {"load": load}
commands: dict[str, object] = {}
