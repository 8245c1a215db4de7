"""`zjops`: finds the command, runs it, turns errors into one line and an exit code.

The overview is printed from the table below without loading anything, which keeps `zjops --help` quick.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

from zjops import __version__


class Command(NamedTuple):
    """Where a command lives and what it is for."""

    module: str
    summary: str
    example: str


COMMANDS: dict[str, Command] = {
    "demo": Command("demo", "Show the whole platform at work, and prove it.", "zjops demo --step"),
    "up": Command("platform", "Start the platform on this machine.", "zjops up -d"),
    "down": Command("platform", "Stop it.", "zjops down"),
    "status": Command("platform", "What runs, and whether it is ready.", "zjops status -o json"),
    "doctor": Command("doctor", "Check this machine and the platform on it.", "zjops doctor"),
    "env": Command("platform", "Print settings for curl, nats, cast and others.", 'eval "$(zjops env)"'),
    "exec": Command("platform", "Start, run a command, stop.", "zjops exec -- zjops jobs list"),
    "context": Command("context", "Which platform to speak to.", "zjops context list"),
    "tenants": Command("tenants", "List, add, change, credit, suspend tenants.", "zjops tenants add acme --plan pro"),
    "token": Command("tenants", "Print an access token.", "zjops token --tenant demo-pro"),
    "jobs": Command("jobs", "Submit, read, watch, cancel, retry and verify jobs.", "zjops jobs list --status failed"),
    "top": Command("top", "Watch jobs, budgets, tenants, chain and errors.", "zjops top --replay FILE --speed 10"),
    "record": Command("record", "Keep what happens in a file for zjops top.", "zjops record --for 10m"),
    "chain": Command("chain", "The chain, its batches and relayer; reorg, mine, pause.", "zjops chain status"),
    "gas": Command("gas", "Measure what every way of confirming costs.", "zjops gas --gas-price 1 --coin-price 2600"),
    "simulate": Command(
        "simulate", "Play a synthetic month in minutes.", "zjops simulate --days 30 --tenants 200 --out DIR"
    ),
    "load": Command("load", "Load tests with an honest verdict; compare them.", "zjops load run smoke"),
    "usage": Command("billing", "Jobs and compute units, by tenant, day, type.", "zjops usage --by tenant,day"),
    "invoice": Command("billing", "Invoices of a month; explain, verify and compare.", "zjops invoice --all -o html"),
    "close": Command("bills", "Issue every invoice of a month for good.", "zjops close 2026-10 --dry-run"),
    "query": Command("query", "Ask the logs by SQL; only reads.", 'zjops query "FROM usage_daily LIMIT 5"'),
    "whatif": Command("whatif", "Price the same log by other prices.", "zjops whatif --prices new.toml"),
    "cost": Command("cost", "Cost and margin of a job, with the formula.", "zjops cost --window 60 --spot 80"),
    "notebook": Command("notebook", "Analyses of the log, in JupyterLab.", "zjops notebook usage"),
    "check": Command("check", "SLOs, queue, relayer, webhooks, chain for Nagios.", "zjops check slo --format json"),
    "runbook": Command("slo", "What to do about an alert.", "zjops runbook SloBudgetBurn"),
    "slo": Command("slo", "Error budgets, burn rates, time to empty.", "zjops slo --plan pro"),
    "webhooks": Command(
        "webhooks", "Receive and check webhooks; manage endpoints.", "zjops webhooks listen --tenant demo-pro"
    ),
    "events": Command("events", "See events flow; have them published again.", "zjops events tail --type completed"),
    "export": Command("export", "OpenAPI, views, FOCUS, Prometheus, Grafana.", "zjops export prometheus-rules"),
    "chaos": Command("chaos", "Break a part on purpose; prove that nothing was lost.", "zjops chaos run kill-worker"),
    "audit": Command(
        "audit", "Prove that nothing was lost, doubled or billed twice.", "zjops audit --history run.jsonl"
    ),
    "audit-log": Command("auditlog", "Who did what to the platform, and why.", "zjops audit-log --since -1h"),
}
VERBS: dict[str, Command] = {
    "invoice explain": Command("bills", "The events behind a line.", "zjops invoice explain demo-pro 3"),
    "invoice verify": Command("bills", "Derive an invoice again, and ask the chain.", "zjops invoice verify FILE"),
    "invoice diff": Command(
        "diff", "A change as volume, mix and price.", "zjops invoice diff demo-pro:2026-10 demo-pro:2026-11"
    ),
}
"""Verbs of commands that also stand alone: the second word decides."""
GROUPS = frozenset({"context", "tenants", "jobs", "webhooks", "events", "export", "chain", "chaos", "check", "load"})
COMPLETING = "_ZJOPS_COMPLETE"


def overview() -> str:
    """The text of `zjops --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary:<54} {command.example}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"zjops {__version__}: the operator's toolkit for an asynchronous jobs platform confirmed on an EVM chain.",
            "",
            "Usage: zjops COMMAND [OPTIONS]       zjops COMMAND --help says more",
            "",
            "Commands and an example of each:",
            *lines,
            "",
            "Exit codes: 0 fine, 1 a check failed, 2 wrong usage, 3 unreachable, 4 an invariant is broken,",
            "5 cannot be trusted, 99 a threshold is breached, 130 interrupted.",
        ]
    )


def _load(name: str) -> Any:
    """The Typer application of one command or group."""
    import importlib

    if name in VERBS:
        return importlib.import_module(f"zjops.cli.{VERBS[name].module}").verbs[name.split()[1]]
    module = importlib.import_module(f"zjops.cli.{COMMANDS[name].module}")
    return module.groups[name] if name in GROUPS else module.commands[name]


def _application(names: list[str]) -> Any:
    import typer

    app = typer.Typer(name="zjops", no_args_is_help=True, rich_markup_mode=None)
    app.callback()(lambda: None)
    for name in names:
        command = VERBS.get(name) or COMMANDS[name]
        more = "".join(f"\n\n{verb.summary} {verb.example}" for key, verb in VERBS.items() if key.split()[0] == name)
        help_text = f"{command.summary}\n\nExample: {command.example}{more}"
        found = _load(name)
        if name in VERBS:
            group, verb = name.split()
            inner = typer.Typer(rich_markup_mode=None)
            inner.callback()(lambda: None)
            inner.command(verb, help=help_text)(found)
            app.add_typer(inner, name=group)
        elif name in GROUPS:
            app.add_typer(found, name=name, help=help_text, no_args_is_help=True)
        else:
            settings = {"allow_extra_args": True, "ignore_unknown_options": True} if name == "exec" else {}
            app.command(name, help=help_text, context_settings=settings)(found)
    return typer.main.get_command(app)


def _unknown(name: str) -> int:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, 1)
    hint = f"; did you mean {near[0]}?" if near else "; see them with: zjops --help"
    print(f"error: there is no command {name}{hint}", file=sys.stderr)
    return 2


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code. That a reader leaves early, as `head` does, is no error."""
    code = 0
    try:
        code = _main(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has had enough; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def _main(args: list[str]) -> int:
    completing = COMPLETING in os.environ
    if not completing:
        if not args or args[0] in ("--help", "-h", "help"):
            print(overview())
            return 0
        if args[0] == "--version":
            print(f"zjops {__version__}")
            return 0
        if args[0] not in COMMANDS:
            return _unknown(args[0])
    verb = " ".join(args[:2])
    return _run(args, list(COMMANDS) if completing else [verb if verb in VERBS else args[0]])


def _run(args: list[str], names: list[str]) -> int:
    from zjops.cli.exits import exit_code_of, say_error
    from zjops.domain.errors import ZjopsError

    try:
        _application(names).main(args, prog_name="zjops", complete_var=COMPLETING)
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):
            raise exc.__context__ from None
        return exc.code if isinstance(exc.code, int) else 1 if exc.code else 0
    except ZjopsError as exc:
        say_error(exc)
        return exit_code_of(exc)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
