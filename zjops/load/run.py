"""A whole run: the generator beside the platform, the jobs followed to the chain, the audit, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zjops.config import Context, find_home
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError, UntrustedError
from zjops.domain.ids import SystemIds
from zjops.load import aftermath, runs
from zjops.load.faults import Broken, FaultWatch
from zjops.load.gate import Flaw, all_flaws, verdict
from zjops.load.generator import Generator, require_installed
from zjops.load.health import healthy_since
from zjops.load.histogram import Histogram
from zjops.load.measured import Measured
from zjops.load.outcome import Outcome
from zjops.load.pressure import DiskWatch, Stalls
from zjops.load.roles import Cost, Usage, costs, usage
from zjops.load.scenario import Scenario, find
from zjops.load.thresholds import HEALTHY, After, Threshold, hopeless, judge, of_scenario
from zjops.slo.catalogue import objectives_of

LOOK_S = 0.5
SILENT_S = 120.0
"""A generator that writes nothing for so long hangs: it tells of every second, and makes its tenants sooner."""
JUDGE_EVERY = 10
AUDIT_WAIT_S = 20.0
Say = Callable[[str], None]
Reached = Callable[[float, str, float], None]


class Asked(NamedTuple):
    """What to run, where, and what to do with it. `context_name` and `home` are handed to the generator as given."""

    scenario: Scenario
    context: Context
    context_name: str | None
    seed: int
    workers: int
    command: str
    out: Path | None = None
    audit: bool = True
    say: Say = lambda text: None
    reached: Reached = lambda share, text, seconds: None


class Ended(NamedTuple):
    """How the generating part ended. `failed` says what was wrong with the generator's own end."""

    measured: Measured
    interrupted: bool
    gave_up: str | None
    failed: str | None = None
    stalls: Stalls | None = None
    faults: tuple[Broken, ...] = ()


class Behind(NamedTuple):
    """What was found out about the jobs; `after` is None where there is no log, `doubts` say what was not to be had.

    `story` is the audit's counter-example, as lines.
    """

    after: After | None = None
    costs: tuple[Cost, ...] = ()
    audit: dict[str, Any] | None = None
    doubts: tuple[Flaw, ...] = ()
    story: tuple[str, ...] = ()


def conduct(asked: Asked) -> tuple[Outcome, Path]:
    """Run it. Raises `UsageError`, `UnreachableError`, `UntrustedError` where nothing was measured."""
    clock = SystemClock()
    require_installed()
    thresholds = of_scenario(Measured(asked.scenario), objectives_of())
    aftermath.require_ready(asked.context)
    began_ms = clock.now_ms()
    folder = runs.new_folder(home_of(asked.context), asked.scenario.name, began_ms, asked.out)
    runs.write_json(folder / runs.SCENARIO, asked.scenario)
    before, began = usage(asked.context), clock.monotonic()
    ended = _generate(asked, folder, thresholds, clock)
    history = runs.join_history(folder)
    try:
        # First of all: what comes next takes a while.
        healthy = _healthy(asked, ended, clock) if any(one.metric == HEALTHY for one in thresholds) else None
        behind = Behind(_after(asked, ended, clock, healthy))
        # Taken before the audit, whose export is no part of what a job costs.
        took = costs(before, _usage(asked.context), ended.measured.jobs, clock.monotonic() - began)
        behind = _audited(asked, ended, history, clock, behind._replace(costs=tuple(took)))
    except KeyboardInterrupt:
        ended, behind = ended._replace(interrupted=True), Behind()
    return _outcome(asked, ended, thresholds, behind, began_ms), folder


def _usage(context: Context) -> dict[str, Usage]:
    """Nothing of a platform that has died meanwhile: what was measured of it until then is told all the same."""
    try:
        return usage(context)
    except (UnreachableError, Problem):
        return {}


def home_of(context: Context) -> Path:
    """The folder of the platform, in which the runs are."""
    return Path(context.home) if context.home else find_home(None)


def _generate(asked: Asked, folder: Path, thresholds: list[Threshold], clock: SystemClock) -> Ended:
    prefix = f"load-{SystemIds(clock).token(4).hex()}"
    generator = Generator(
        folder, seed=asked.seed, workers=asked.workers, prefix=prefix, context=asked.context_name,
        home=asked.context.home,
    )  # fmt: skip
    measured = Measured(asked.scenario)
    interrupted, gave_up, disk, broken = False, None, DiskWatch(), FaultWatch(asked.context, clock)
    generator.start()
    try:
        gave_up = _watch(asked, generator, measured, thresholds, clock, (disk.look, broken.look))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        disk.look()
        generator.stop()
        measured.read(generator.news())
        generator.close()
        broken.close()
    failed = _failure(generator, measured, ended_early=interrupted or gave_up is not None)
    return Ended(measured, interrupted, gave_up, failed, disk.stalls(), broken.faults())


def _failure(generator: Generator, measured: Measured, *, ended_early: bool) -> str | None:
    """How the generator failed though it measured something. Raises what `check` does where it did not."""
    if ended_early and measured.head is not None:
        return None
    try:
        generator.check()
    except UntrustedError as exc:
        if measured.head is None:
            raise
        return str(exc)
    return None


def _watch(
    asked: Asked, generator: Generator, measured: Measured, thresholds: list[Threshold], clock: SystemClock,
    looks: Sequence[Callable[[], None]],
) -> str | None:  # fmt: skip
    """Follow the run to its end, or until it cannot pass any more; then says which threshold is lost."""
    turn, began = 0, clock.monotonic()
    lines, heard = 0, began
    while generator.running:
        clock.pause(LOOK_S)
        for look in looks:
            look()
        measured.read(generator.news())
        turn += 1
        if generator.lines > lines:
            lines, heard = generator.lines, clock.monotonic()
        elif clock.monotonic() - heard > SILENT_S:
            generator.give_up(f"the generator said nothing for {SILENT_S:g} s")
        asked.reached(measured.ran_s / asked.scenario.duration_s, _now(measured), clock.monotonic() - began)
        lost = hopeless(thresholds, measured) if turn % JUDGE_EVERY == 0 else None
        if lost is not None:
            return lost.text
    return None


def _now(measured: Measured) -> str:
    """The newest whole second in words."""
    seconds = measured.newest()
    if seconds is None:
        return "making tenants and connections"
    second, tally = seconds
    p99 = tally.latency.ms(99)
    return f"second {second}: {tally['accepted']:,} accepted, {tally['shed'] + tally['errors']:,} refused" + (
        f", p99 {p99:.1f} ms" if p99 is not None else ""
    )


def _audited(asked: Asked, ended: Ended, history: Path, clock: SystemClock, behind: Behind) -> Behind:
    """The same with the audit, where one is wanted; none is made after Ctrl-C."""
    if not asked.audit or ended.interrupted:
        return behind
    asked.say("auditing every job")
    try:
        report = aftermath.prove(asked.context, history, AUDIT_WAIT_S, clock)
    except (UnreachableError, Problem) as exc:
        return behind._replace(doubts=(Flaw("", "load", f"the audit could not be made: {exc}"),))
    story = () if report.story is None else tuple(report.story.lines())
    return behind._replace(audit=aftermath.audited(report), story=story)


def _healthy(asked: Asked, ended: Ended, clock: SystemClock) -> float | None:
    """How many seconds after the end of the load the platform was healthy; None where that was not to be seen."""
    head = ended.measured.head
    if ended.interrupted or head is None:
        return None
    asked.say("waiting until the platform is healthy")
    since_ms = healthy_since(asked.context, clock, asked.scenario.final_within_s)
    return None if since_ms is None else max(0.0, since_ms / 1000 - head.began_ms / 1000 - ended.measured.ran_s)


def _after(asked: Asked, ended: Ended, clock: SystemClock, healthy: float | None) -> After | None:
    """Follow the jobs to the chain; after Ctrl-C nothing is waited for."""
    context, measured, accepted = asked.context, ended.measured, ended.measured.jobs
    if not context.log_dir or not accepted or measured.head is None:
        return None
    log, tenants = Path(context.log_dir), [one.tenant for one in measured.head.tenants]
    within_s = 0 if ended.interrupted else asked.scenario.final_within_s
    settled = aftermath.settle(log, tenants, accepted, within_s, clock, asked.say)
    hops = aftermath.hops(context, log, tenants, measured.counted_from_ms, measured.webhooks)
    return After(hops, {
        "final_within_s": settled.final_within_s(accepted), "jobs_per_s": settled.jobs_per_s(accepted),
        HEALTHY: healthy,
    })  # fmt: skip


def _outcome(asked: Asked, ended: Ended, thresholds: list[Threshold], behind: Behind, began_ms: int) -> Outcome:
    measured, after = ended.measured, behind.after
    judged = judge(thresholds, measured, after)
    flaws = [*all_flaws(measured, thresholds), *_unfinished(ended), *behind.doubts]
    hops: dict[str, Histogram] = after.hops if after else {}
    figures = after.figures if after else {}
    said = verdict(judged, flaws, behind.audit["ok"] if behind.audit else None)
    return Outcome(
        measured, judged, flaws, said, figures.get("final_within_s"), figures.get("jobs_per_s"), hops,
        list(behind.costs), behind.audit, asked.seed, asked.command, ended.interrupted, ended.gave_up, began_ms,
        ended.stalls, behind.story, ended.faults,
    )  # fmt: skip


def _unfinished(ended: Ended) -> list[Flaw]:
    """Why it is not the load that was asked for; what was ended for want of hope is judged by what it lost."""
    if ended.interrupted:
        return [Flaw("", "load", "it was interrupted")]
    if ended.failed is not None:
        return [Flaw("", "load", ended.failed)]
    if ended.gave_up or ended.measured.whole:
        return []
    return [Flaw("", "load", "not every process of the generator went through its whole schedule")]


def scenario_of(folder: Path) -> Scenario:
    """The scenario of a run that is over. Raises `UsageError`."""
    return find(str(folder / runs.SCENARIO))
