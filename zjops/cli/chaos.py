"""chaos: break a part of the platform on purpose, and prove afterwards that every job came out right."""

from __future__ import annotations

import contextlib
import random
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from zjops.cli.exits import BROKEN, CHECK_FAILED, UNTRUSTED, worst
from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.cli.waiting import end_in_order
from zjops.config import Context, find_home, resolve
from zjops.domain.errors import Problem, UnreachableError, UntrustedError, UsageError

if TYPE_CHECKING:
    from zjops.chaos.experiments import Experiment
    from zjops.chaos.result import Result, Untold
    from zjops.chaos.run import Asked
    from zjops.chaos.suite import Suite
    from zjops.client.control import Control
    from zjops.load.scenario import Scenario

QUICK_LEASE_S = 6.0
SEED_MOST = 2**31
chaos = typer.Typer()
Lease = Annotated[float | None, typer.Option("--lease", help="Seconds that it stays broken.", min=0.5, max=3600)]
Under = Annotated[
    str, typer.Option("--under", help="The load: a scenario of zjops load, or a file; of the open model, and held at "
                                      "its highest rate for as long as it takes."),
]  # fmt: skip
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Of arrivals, payloads and what faults strike; a new one by default.", min=0,
                 max=SEED_MOST),
]  # fmt: skip
Fresh = Annotated[bool, typer.Option("--fresh", help="On a platform of its own, which is gone afterwards.")]
CODES = {"pass": 0, "fail": CHECK_FAILED, "broken": BROKEN, "cannot tell": UNTRUSTED}


@chaos.command(name="list", help="The experiments, by what an operator sees of each.\n\nExample: zjops chaos list")
def list_(output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False) -> None:
    from zjops.chaos.experiments import experiments

    Out(output, json, quiet).rows("zjops.chaos.experiments/1", [
        {"experiment": one.name, "symptom": one.symptom, "what": one.title, "lease_s": one.lease_s,
         "tags": ", ".join(one.tags), "needs": ", ".join(one.needs)}
        for one in experiments().values()
    ])  # fmt: skip


@chaos.command(help="Run one experiment under load, and judge it; a file that names several parts is run at each.\n\n"
                    "Example: zjops chaos run kill-worker --lease 10")  # fmt: skip
def run(
    name: Annotated[str, typer.Argument(help="An experiment of zjops chaos list, or a file.")],
    target: Annotated[str | None, typer.Option("--target", help="Only at this one of the parts of a file.")] = None,
    under: Under = "chaos", lease: Lease = None, seed: Seed = None, fresh: Fresh = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report.")] = None, home: Home = None,
    context: ContextName = None, output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    from zjops.chaos.experiments import named

    told = Out(output, json, quiet)
    chosen = named(name, target)
    how = _How(under, _load(under), seed, fresh, out, home, context, told)
    if len(chosen) > 1:
        at = ["run", name, *(["--target", target] if target else [])]
        _in_turn([(one, lease) for one in chosen], how, Path(name).stem, how.command(at, lease))
        return
    (one,) = chosen
    with _platform(fresh, context, home, told) as found:
        result, folder = _conducted(_asked(one, found, how, lease))
    _tell_one(result, folder, told)


def _tell_one(result: Result, folder: Path, told: Out) -> None:
    from zjops.chaos.report import moments, window_rows
    from zjops.chaos.result import summary

    if told.format is Format.JSON:
        told.record("zjops.chaos/1", {k: v for k, v in summary(result).items() if k != "schema"})
    else:
        told.rows("zjops.chaos.windows/1", list(window_rows(result.windows)))
        for text in moments(result):
            told.say(text)
        for line in result.story:
            told.say(line)
    told.say(_verdict(result, folder))
    if CODES[result.verdict]:
        raise typer.Exit(CODES[result.verdict])


@chaos.command(help="Run all experiments under load, one after the other.\n\nExample: zjops chaos suite --fresh")
def suite(
    tag: Annotated[str | None, typer.Option("--tag", help="Only those with this tag: design, process, chain.")] = None,
    only: Annotated[str | None, typer.Option("--only", help="Only these, or files, separated by commas.")] = None,
    full: Annotated[bool, typer.Option("--full", help="As long as each experiment says, not a few seconds.")] = False,
    under: Under = "chaos", lease: Lease = None, seed: Seed = None, fresh: Fresh = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the reports.")] = None, home: Home = None,
    context: ContextName = None, output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    how = _How(under, _load(under), seed, fresh, out, home, context, Out(output, json, quiet))
    given = {"--tag": tag, "--only": only}
    words = ["suite", *(word for name, value in given.items() if value for word in (name, value))]
    command = how.command([*words, *(["--full"] if full else [])], lease)
    lease = lease if lease is not None else None if full else QUICK_LEASE_S
    # What takes no time by itself need not take longer than that.
    lasting = [
        (one, lease if lease is not None and one.lease_s >= 1 else one.lease_s) for one in _chosen(tag, only)
    ]  # fmt: skip
    _in_turn(lasting, how, "suite", command)


def _load(under: str) -> Scenario:
    """Raises `UsageError`, before anything is started."""
    from zjops.chaos.run import lasting
    from zjops.load.scenario import find

    return lasting(find(under))


class _How(NamedTuple):
    """What holds for every experiment of a command."""

    under: str
    load: Scenario
    seed: int | None
    fresh: bool
    out: Path | None
    home: Path | None
    context: str | None
    told: Out

    def command(self, words: Sequence[str], lease_s: float | None, seed: int | None = None) -> str:
        """What repeats a command that begins with these words."""
        repeated = _command(words, self.under, lease_s, self.fresh, self.context, self.home)
        drawn = self.seed if seed is None else seed
        return repeated if drawn is None else f"{repeated} --seed {drawn}"

    def reports(self, found: Context) -> Path:
        """The home that keeps the reports: of a platform that is gone afterwards, that of the usual one."""
        return Path(found.home) if found.home and not self.fresh else find_home(None)


def _in_turn(chosen: Sequence[tuple[Experiment, float | None]], how: _How, name: str, command: str) -> None:
    """Run experiments for so many seconds each, one after the other on one platform, and tell of all in one table."""
    from zjops.chaos.needs import require_parts
    from zjops.chaos.suite import Suite
    from zjops.domain.clock import SystemClock
    from zjops.load.runs import new_folder

    results: list[Result | Untold] = []
    began_ms = SystemClock().now_ms()
    with _platform(how.fresh, how.context, how.home, how.told) as found:
        require_parts(found, [one for one, _ in chosen])
        folder = new_folder(how.reports(found), f"chaos-{name}", began_ms, how.out)
        try:
            for number, (one, lease_s) in enumerate(chosen, 1):
                how.told.say(f"{number} of {len(chosen)}: {one.name}")
                results.append(_one_of_all(one, lease_s, found, how._replace(out=folder / one.name)))
        finally:
            # Whatever ends it early does not take along what is known by then.
            if results:
                _tell_suite(Suite(results, len(chosen), command, began_ms), folder, how.told)
    code = worst([CODES[one.verdict] for one in results])
    if code:
        raise typer.Exit(code)


def _one_of_all(one: Experiment, lease_s: float | None, found: Context, how: _How) -> Result | Untold:
    """One of several: what keeps it from being judged is no reason not to run the others."""
    from zjops.chaos.report import WORDS
    from zjops.chaos.result import Untold

    asked = _asked(one, found, how, lease_s)
    try:
        result, folder = _conducted(asked)
    except (UntrustedError, UnreachableError, Problem) as exc:
        how.told.say(f"  {WORDS['cannot tell']}: {exc}")
        return Untold(one, str(exc), asked.command, asked.lasts_s)
    how.told.say(f"  {_verdict(result, folder)}")
    return result


def _tell_suite(suite: Suite, folder: Path, told: Out) -> None:
    from zjops.chaos import suite as suites

    suites.write(suite, folder)
    told.rows(suites.SCHEMA, suites.rows(suite), people=suites.rows_for_people(suite))
    told.say(f"{suite.text}; {folder / suites.PAGE}")


@chaos.command(help="Every fault that can be put on the platform, and what holds now.\n\nExample: zjops chaos faults")
def faults(
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    out = Out(output, json, quiet)
    with _control(context, home) as control:
        told = control.faults()
    out.rows("zjops.faults/1", [
        {"fault": kind["fault"], "targets": ", ".join(kind["targets"]), "what": kind["meaning"],
         "params": ", ".join(f"{name}={param['usual']:g}" for name, param in kind["params"].items())}
        for kind in told["kinds"]
    ])  # fmt: skip
    for fault in told["active"]:
        struck = fault.get("struck")
        times = "" if struck is None else f", struck {struck} time{'' if struck == 1 else 's'}"
        held = "" if fault.get("held_mb") is None else f", holds {fault['held_mb']:g} MB"
        out.say(f"holds: {fault['fault']} at {fault['target']}{times}{held}")


@chaos.command(name="break", help="Put one fault on a part, for a while.\n\n"
                                  "Example: zjops chaos break api store.delay --param ms=300 --lease 30")  # fmt: skip
def break_(
    target: Annotated[str, typer.Argument(help="A process, or api, broker, chain for links, or store.")],
    fault: Annotated[str, typer.Argument(help="See zjops chaos faults.")],
    param: Annotated[list[str] | None, typer.Option("--param", help="NAME=NUMBER; may be repeated.")] = None,
    lease: Lease = None, seed: Seed = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    with _control(context, home) as control:
        made = control.fault(target, fault, lease, _params(param or []), seed)
    Out(output, json, quiet).done(
        "zjops.fault/1", f"{fault} at {target}; it heals by itself, or by: zjops chaos heal", id=made, fault=fault,
        target=target,
    )  # fmt: skip


@chaos.command(help="End every fault now.\n\nExample: zjops chaos heal")
def heal(
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    with _control(context, home) as control:
        healed = control.heal_all()
    Out(output, json, quiet).done("zjops.healed/1", f"{healed} fault{'' if healed == 1 else 's'} ended", healed=healed)


@contextlib.contextmanager
def _control(context: str | None, home: Path | None) -> Iterator[Control]:
    from zjops.client.control import Control

    control = Control(resolve(context, home))
    with contextlib.closing(control.http):
        yield control


@contextlib.contextmanager
def _platform(fresh: bool, context: str | None, home: Path | None, told: Out) -> Iterator[Context]:
    """The platform that is asked for, or one of its own."""
    if not fresh:
        yield resolve(context, home)
        return
    if context is not None or home is not None:
        raise UsageError("--fresh is a platform of its own; leave --context and --home out")
    from zjops.chaos.fresh import fresh_platform

    # Whoever ends this in whatever way takes the platform along, which nobody else would.
    end_in_order()
    told.say("starting a platform with a process for every role and proxies before its parts")
    with fresh_platform() as found:
        yield found


def _asked(chosen: Experiment, found: Context, how: _How, lease: float | None) -> Asked:
    from zjops.chaos.experiments import command_of
    from zjops.chaos.run import Asked

    drawn = random.SystemRandom().randrange(SEED_MOST) if how.seed is None else how.seed
    return Asked(
        chosen, found, None if how.fresh else how.context, how.reports(found), how.load, drawn,
        how.command(["run", *command_of(chosen)], lease, drawn), lease, out=how.out,
        say=lambda text: how.told.say(f"  {text}"),
    )  # fmt: skip


def _conducted(asked: Asked) -> tuple[Result, Path]:
    from zjops.chaos.report import write
    from zjops.chaos.run import conduct

    result, folder = conduct(asked)
    write(result, folder)
    return result, folder


def _verdict(result: Result, folder: Path) -> str:
    from zjops.chaos.report import WORDS

    return f"{WORDS[result.verdict]}: {result.reason}; {folder / 'report.html'}"


def _command(
    words: Sequence[str], under: str, lease_s: float | None, fresh: bool, context: str | None, home: Path | None
) -> str:  # fmt: skip
    """What repeats a run, but for its seed."""
    given = {"--under": under, "--lease": None if lease_s is None else f"{lease_s:g}", "--context": context,
             "--home": None if home is None else str(home)}  # fmt: skip
    options = [word for option, value in given.items() if value is not None for word in (option, value)]
    return shlex.join(["zjops", "chaos", *words, *options, *(["--fresh"] if fresh else [])])


def _chosen(tag: str | None, only: str | None) -> list[Experiment]:
    """Raises `UsageError` when nothing is left."""
    from zjops.chaos.experiments import experiments, named

    if only is not None:
        names = [name.strip() for name in only.split(",") if name.strip()]
        if not names:
            raise UsageError("--only names no experiment; see them with: zjops chaos list")
        chosen = [one for name in names for one in named(name)]
        told = [one.name for one in chosen]
        twice = next((name for number, name in enumerate(told) if name in told[:number]), None)
        if twice is not None:
            raise UsageError(f"--only names {twice} twice; each has one folder in the report")
        return chosen
    found = [one for one in experiments().values() if tag is None or tag in one.tags]
    if not found:
        tags = sorted({tag for one in experiments().values() for tag in one.tags})
        raise UsageError(f"no experiment has the tag {tag}; there are {', '.join(tags)}")
    return found


def _params(given: list[str]) -> dict[str, float]:
    found = {}
    for one in given:
        name, _, value = one.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"--param is NAME=NUMBER, not {one}") from None
    return found


groups = {"chaos": chaos}
