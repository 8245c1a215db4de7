"""slo and runbook: error budgets, burn rates, what they ask for, and what to do about alerts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zjops.cli.billing import moment_of
from zjops.cli.exits import BREACHED
from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, ShowSql, log_folder, show_sql
from zjops.cli.output import Format, Out
from zjops.domain.clock import SystemClock, rfc3339
from zjops.domain.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from zjops.slo.log import Span
    from zjops.slo.model import Objective
    from zjops.slo.report import Standing

SloFile = Annotated[list[Path] | None, typer.Option(
    "--slo-file", help="Objectives of your own (OpenSLO v1), in place of those that ship; repeatable."
)]  # fmt: skip
At = Annotated[
    str | None, typer.Option("--at", help="As of this time, UTC or Unix s; now, or the end of --log, by default.")
]
Plan = Annotated[str | None, typer.Option(help="One plan, or all for every plan together.")]
LATE_MS = 30_000
"""How late rows of a minute may come into the log: those of the prober wait longest."""


def slo(
    plan: Plan = None, at: At = None, slo_file: SloFile = None, sql: ShowSql = False, log: LogDir = None,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Budgets of every objective and plan; exit 99 when one is spent."""
    from zjops.analytics.statements import recording
    from zjops.analytics.warehouse import Warehouse
    from zjops.slo.report import standings

    out, chosen = Out(output, json, quiet), chosen_objectives(slo_file, plan)
    with recording() as asked, Warehouse(log_folder(context, home, log)) as warehouse:
        span, minute = moment(warehouse, at, given=log is not None)
        found = standings(warehouse, chosen, minute)
    if sql:
        show_sql(asked)
        return
    _show(out, found, minute, everything=plan is not None)
    _say(out, found, span, minute)
    if any(one.budget.policy == "full-freeze" for one in found):
        raise typer.Exit(BREACHED)


def _show(out: Out, found: Sequence[Standing], minute: int, *, everything: bool) -> None:
    """The rows; for people those of which the log tells nothing are left out, unless everything is asked for."""
    from zjops.slo.report import record

    end = rfc3339(minute * 60_000)
    rows = [record(one) for one in found]
    flat = [_flat(row) for row in rows]
    readable = out.format in (Format.TABLE, Format.MD)
    people = [_row(one) for one in found if one.budget.counted.covered or everything]
    names = list(people[0] if people and readable else flat[0])
    nested = out.format in (Format.JSON, Format.JSONL)
    out.rows("zjops.slo/1", people if readable else rows if nested else flat, names, at=end)


def chosen_objectives(files: Sequence[Path] | None, plan: str | None) -> list[Objective]:
    """The objectives that count, of one plan if it is named. Raises `UsageError`."""
    from zjops.slo.catalogue import PLANS, objectives_of

    found = objectives_of(files or ())
    if plan is None:
        return found
    chosen = [one for one in found if one.plan == plan]
    if not chosen:
        known = ", ".join(name for name in PLANS if any(one.plan == name for one in found))
        raise UsageError(f"there is no objective for plan {plan}; there are some for {known}")
    return chosen


def moment(warehouse: Any, at: str | None, *, given: bool) -> tuple[Span, int]:
    """How far the log reaches, and the minute at whose beginning it is looked at.

    That is the one which was named, else the end of a log that was named, else now, but for rows that are on their way.
    Raises `UsageError`, and `UnreachableError` for an empty log.
    """
    from zjops.slo.log import MINUTE_MS, span_of

    span, now = span_of(warehouse), SystemClock().now_ms()
    end = span.until_ms
    if end is None:
        raise UnreachableError(f"the log in {warehouse.log_dir} is empty; has a platform run there?")
    if at is None:
        return span, -(-end // MINUTE_MS) if given else (now - LATE_MS) // MINUTE_MS
    asked = int(at) * 1000 if at.isdecimal() else moment_of(at, "--at", 0)
    if asked > max(now, -(-end // MINUTE_MS) * MINUTE_MS):
        raise UsageError(f"--at {at} is still to come; the log reaches {rfc3339(end)}")
    return span, asked // MINUTE_MS


def _row(one: Standing) -> dict[str, Any]:
    """A row for people."""
    from zjops.slo.report import budget_text, burn_text, state_text

    return {
        "slo": one.objective.slo, "plan": one.objective.plan, "target": one.objective.target,
        "budget": budget_text(one), "burn": burn_text(one), "state": state_text(one),
    }  # fmt: skip


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the list of its burns, for formats that have cells; those that fire are named."""
    firing = [burn["policy"] for burn in row["burns"] if burn["state"] == "firing"]
    return {name: value for name, value in row.items() if name != "burns"} | {"firing": " ".join(firing)}


def _say(out: Out, found: Sequence[Standing], span: Span, minute: int) -> None:
    from zjops.domain.indicators import AVAILABILITY
    from zjops.slo.budget import ACTIONS, Policy
    from zjops.slo.report import span_text

    end = span.until_ms or 0
    silent = minute - end // 60_000
    note = f"; the log says nothing of the last {span_text(silent)}" if silent >= 2 else ""
    out.say(f"as of {rfc3339(minute * 60_000)[:16]}Z, times in UTC{note}")
    measured = [one.budget.counted for one in found if one.objective.indicator.kind == AVAILABILITY]
    unknown = max((counted.unknown for counted in measured), default=0)
    if unknown:
        out.say(f"minutes without a request or probe are unknown, neither good nor bad: {span_text(unknown)}")
    seen = {one.budget.policy for one in found}
    for policy in reversed(Policy):
        if policy in seen and policy is not Policy.HEALTHY:
            out.say(f"{policy}: {ACTIONS[policy]}")


def runbook(alert: Annotated[str | None, typer.Argument(help="Its name; the list of all by default.")] = None) -> None:
    """What an alert means, where to look, what to do."""
    from zjops.slo.alerts import SUMMARY
    from zjops.slo.runbooks import runbook as page

    out = Out()
    if alert is None:
        out.rows("zjops.runbooks/1", [{"alert": name, "when": text} for name, text in SUMMARY.items()])
    else:
        out.text(page(alert).rstrip())


commands = {"slo": slo, "runbook": runbook}
