"""check: what monitoring asks, in the way of Nagios plugins: exit 0 ok, 1 warning, 2 critical, 3 unknown."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from zjops.cli.options import ContextName, Home, LogDir, log_folder
from zjops.cli.output import Out
from zjops.cli.slo import At, Plan, SloFile, chosen_objectives, moment
from zjops.config import find_home, resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError, UsageError, ZjopsError

if TYPE_CHECKING:
    from zjops.slo.checks import Check

CRITICAL, UNKNOWN = 2, 3
WRONG_USAGE: Any = typer.BadParameter.__bases__[0]
"""What is raised for wrong arguments."""


class Way(enum.StrEnum):
    """How a check speaks."""

    TEXT = "text"
    JSON = "json"
    PROMETHEUS = "prometheus"


class NagiosGroup(TyperGroup):
    """A group whose wrong usage ends with 3, as Nagios has it, and not with 2, which is critical."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the arguments of the group."""
        return _unknown(lambda: super(NagiosGroup, self).make_context(*args, **kwargs))

    def invoke(self, ctx: Any) -> Any:
        """Read the arguments of the check, and run it."""
        return _unknown(lambda: super(NagiosGroup, self).invoke(ctx))


def _unknown(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except WRONG_USAGE as exc:
        exc.exit_code = UNKNOWN
        raise


check = typer.Typer(cls=NagiosGroup)
Format = Annotated[Way, typer.Option("--format", help="text is what Nagios reads.")]
Warn = Annotated[float, typer.Option("--warning", "-w", help="Seconds of waiting that are a warning.", min=0)]
Crit = Annotated[float, typer.Option("--critical", "-c", help="Seconds of waiting that are critical.", min=0)]
Notify = Annotated[str | None, typer.Option(
    "--notify", metavar="URL", help="Post changes of alerts there, as Alertmanager's webhook does."
)]  # fmt: skip


def _run(name: str, way: Way, work: Callable[[], Check]) -> None:
    """Run a check and end as Nagios expects: whatever cannot be asked is critical, what is wrong usage is unknown."""
    try:
        found = work()
    except ZjopsError as exc:
        later = isinstance(exc, UnreachableError) or (isinstance(exc, Problem) and exc.status >= 500)
        _fail(name, way, str(exc), CRITICAL if later else UNKNOWN)
        return
    _show(found, way)
    raise typer.Exit(int(found.state))


def _show(found: Check, way: Way) -> None:
    from zjops.slo.checks import as_record, nagios, prometheus

    out = Out()
    if way is Way.JSON:
        Out(json=True).record("zjops.check/1", as_record(found))
    else:
        out.text(nagios(found) if way is Way.TEXT else prometheus(found))


def _fail(name: str, way: Way, why: str, code: int) -> None:
    from zjops.slo.checks import Check, Finding, State

    _show(Check(name, [Finding(State(code), why)], [], "", []), way)
    raise typer.Exit(code)


@check.command("slo", help="Error budgets, burn rates, and the alerts on requests and submissions.\n\n"
                           "Example: zjops check slo --plan all")  # fmt: skip
def check_slo(
    plan: Plan = None, at: At = None, slo_file: SloFile = None, notify: Notify = None, log: LogDir = None,
    home: Home = None, context: ContextName = None, way: Format = Way.TEXT,
) -> None:  # fmt: skip
    """A page is critical, a ticket a warning."""

    def work() -> Check:
        found = slo_check(plan, at, slo_file, log_folder(context, home, log), given=log is not None)
        if notify is not None:
            tell(notify, found, _home(home, context, log))
        return found

    _run("slo", way, work)


def slo_check(plan: str | None, at: str | None, files: list[Path] | None, folder: Path, *, given: bool) -> Check:
    """The check of the objectives. Raises `UsageError`, `UnreachableError`."""
    from zjops.analytics.warehouse import Warehouse
    from zjops.slo import alerts, checks
    from zjops.slo.report import standings

    chosen = chosen_objectives(files, plan)
    with Warehouse(folder) as warehouse:
        span, minute = moment(warehouse, at, given=given)
        found = standings(warehouse, chosen, minute)
        more = [*alerts.auth_failures(warehouse, minute), *alerts.surges(warehouse, span, minute)]
    return checks.check_slo(found, [*more, *alerts.alerts_of(found)])


def tell(url: str, found: Check, home: Path) -> None:
    """Post what changed since the last time, and remember it. Raises `UsageError`, `UnreachableError`."""
    from zjops.slo.notify import notify_changes

    told = notify_changes(url, found.alerts, home, SystemClock().now_ms())
    if told:
        Out().say(f"posted to {url}: {told} changes")


def _home(home: Path | None, context: str | None, log: Path | None) -> Path:
    """The folder that remembers what was told."""
    folder = str(find_home(home)) if log is not None else resolve(context, home, alive=False).home
    if folder is None or not Path(folder).is_dir():
        raise UsageError("--notify remembers in the home what was told, and there is none; name a folder with --home")
    return Path(folder)


@check.command("queue", help="Jobs that wait, events that wait to be published, dead letters.\n\n"
                             "Example: zjops check queue -w 30 -c 120")  # fmt: skip
def check_queue(
    warning: Warn = 30, critical: Crit = 120, home: Home = None, context: ContextName = None, way: Format = Way.TEXT
) -> None:
    """How long things wait."""
    from zjops.slo import checks, readings

    def work() -> Check:
        ages, found = _ages(warning, critical), resolve(context, home)
        waits = readings.oldest_waiting_s(Path(found.log_dir), SystemClock().now_ms()) if found.log_dir else None
        return checks.check_queue(readings.platform_state(found), waits, ages)

    _run("queue", way, work)


@check.command("relayer", help="Whether confirmations go on.\n\nExample: zjops check relayer")
def check_relayer(
    warning: Warn = 60, critical: Crit = 300, home: Home = None, context: ContextName = None, way: Format = Way.TEXT
) -> None:
    """How long settled jobs wait for a batch."""
    from zjops.slo import checks, readings

    def work() -> Check:
        ages = _ages(warning, critical)
        return checks.check_relayer(readings.relayer(resolve(context, home)), ages)

    _run("relayer", way, work)


@check.command("webhooks", help="Endpoints that fail, of the tenants whose credentials are known.\n\n"
                                "Example: zjops check webhooks")  # fmt: skip
def check_webhooks(home: Home = None, context: ContextName = None, way: Format = Way.TEXT) -> None:
    """Endpoints and deliveries."""
    from zjops.slo import checks, readings

    _run("webhooks", way, lambda: checks.check_webhooks(
        *readings.webhooks(resolve(context, home), SystemClock().now_ms())
    ))  # fmt: skip


@check.command("chain", help="The node, the contract, and the share of transactions that fail.\n\n"
                             "Example: zjops check chain")  # fmt: skip
def check_chain(
    warning: Warn = 10, critical: Crit = 60, home: Home = None, context: ContextName = None, way: Format = Way.TEXT
) -> None:
    """How late blocks are. Failures are counted between two runs within ten minutes."""
    from zjops.slo import checks, readings

    def work() -> Check:
        ages, found, now_ms = _ages(warning, critical), resolve(context, home), SystemClock().now_ms()
        outcomes = readings.outcomes(Path(found.home), now_ms) if found.home else None
        return checks.check_chain(readings.height(found, now_ms), outcomes, ages, now_ms)

    _run("chain", way, work)


def _ages(warning: float, critical: float) -> Any:
    from zjops.slo.checks import Ages

    if warning > critical:
        raise UsageError(f"--warning {warning:g} is above --critical {critical:g}")
    return Ages(warning, critical)


groups = {"check": check}
commands: dict[str, object] = {}
