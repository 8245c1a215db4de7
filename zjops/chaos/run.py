"""A whole experiment: load beside the platform, the fault, somebody who looks on, the audit, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from zjops.audit.findings import Report
from zjops.chaos.experiments import Experiment
from zjops.chaos.needs import require_parts
from zjops.chaos.result import WARM_UP_S, Result, Seen, judged, moments
from zjops.chaos.toolkit import Journal, Toolkit, require_installed
from zjops.chaos.watching import Watch
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError, UntrustedError, UsageError
from zjops.domain.ids import SystemIds
from zjops.load import aftermath, runs
from zjops.load.generator import Generator
from zjops.load.histogram import Histogram
from zjops.load.measured import Measured
from zjops.load.scenario import Phase, Scenario

BEFORE_S, AFTER_S, AFTER_MOST_S = 5.0, 6.0, 30.0
"""How long the load runs before anything is broken, after the experiment is over, and at most while it is not calm."""
RECOVER_S = 60.0
LONGEST_S = 7_200.0
LOOK_S = 0.25
AUDIT_WAIT_S = 90.0
Say = Callable[[str], None]


class Asked(NamedTuple):
    """What to break, where, under which load, which is one that lasts. `lease_s` None leaves the experiment's own.

    The report goes among the runs of `home`, or to `out`.
    """

    experiment: Experiment
    context: Context
    context_name: str | None
    home: Path
    scenario: Scenario
    seed: int
    command: str
    lease_s: float | None = None
    recover_s: float = RECOVER_S
    out: Path | None = None
    say: Say = lambda text: None

    @property
    def lasts_s(self) -> float:
        """How long something is broken."""
        return self.experiment.lease_s if self.lease_s is None else self.lease_s


def conduct(asked: Asked) -> tuple[Result, Path]:
    """Run it. Raises `UsageError`, `UnreachableError`, `UntrustedError`."""
    require_installed()
    require_parts(asked.context, [asked.experiment])
    aftermath.require_ready(asked.context)
    clock = SystemClock()
    began_ms = clock.now_ms()
    folder = runs.new_folder(asked.home, f"chaos-{asked.experiment.name}", began_ms, asked.out)
    runs.write_json(folder / runs.SCENARIO, asked.scenario)
    measured = Measured(asked.scenario)
    watch = Watch(asked.context, clock)
    with _generating(asked, folder, measured, clock) as generator, _watching(watch):
        journal = _break(asked, folder, clock)
        asked.say("looking on")
        clock.pause(AFTER_S)
        until_s = clock.monotonic() + AFTER_MOST_S - AFTER_S
        while not _calm(journal, measured, watch, began_ms, generator) and clock.monotonic() < until_s:
            clock.pause(LOOK_S)
    report = _audited(asked, runs.join_history(folder), clock)
    seen = Seen(measured, watch.samples, watch.struck, report, _hops(asked, measured, report, clock))
    return judged(
        asked.experiment, journal, seen, seed=asked.seed, command=asked.command, lease_s=asked.lasts_s,
        began_ms=began_ms,
    ), folder  # fmt: skip


def _calm(journal: Journal, measured: Measured, watch: Watch, began_ms: int, generator: Generator) -> bool:
    """Whether all is over: a moment at which the machine was slow, right at the end, is no trouble that stays."""
    measured.read(generator.news())
    return moments(journal, measured, list(watch.samples), began_ms).recovered_ms is not None


def _audited(asked: Asked, history: Path, clock: SystemClock) -> Report | None:
    """None of a platform that does not answer any more: what was seen of it is told all the same."""
    asked.say("auditing every job")
    try:
        return aftermath.prove(asked.context, history, AUDIT_WAIT_S, clock)
    except (UnreachableError, Problem) as exc:
        asked.say(f"the audit could not be made: {exc}")
        return None


def _hops(asked: Asked, measured: Measured, report: Report | None, clock: SystemClock) -> dict[str, Histogram]:
    """How long each step took; whoever lost jobs is not waited for until the last of them is final."""
    context, head = asked.context, measured.head
    if head is None or context.log_dir is None or not measured.jobs:
        return {}
    log, tenants = Path(context.log_dir), [one.tenant for one in head.tenants]
    within_s = asked.scenario.final_within_s if report is not None and report.ok else 0
    try:
        aftermath.settle(log, tenants, measured.jobs, within_s, clock, asked.say)
        return aftermath.hops(context, log, tenants, measured.counted_from_ms, measured.webhooks)
    except (UnreachableError, Problem) as exc:
        asked.say(f"nobody knows how long each step took: {exc}")
        return {}


def lasting(scenario: Scenario) -> Scenario:
    """The same load, at its highest rate for as long as it takes; judged by nobody, so it has no thresholds.

    Raises `UsageError` for one that has no rate.
    """
    if scenario.model == "closed":
        raise UsageError(
            f"scenario {scenario.name} has no rate: it sends as fast as it is answered, so that a fault would slow "
            "the load itself; take one of the open model"
        )
    phases = (
        Phase(name="warm-up", duration_s=WARM_UP_S, rate=scenario.rate, warmup=True),
        Phase(name="steady", duration_s=LONGEST_S, rate=scenario.rate),
    )
    return msgspec.structs.replace(scenario, phases=phases, thresholds=(), slos=())


@contextmanager
def _generating(asked: Asked, folder: Path, measured: Measured, clock: SystemClock) -> Iterator[Generator]:
    """Load from a while before to a while after. Raises `UntrustedError` where it ended before that."""
    generator = Generator(
        folder, seed=asked.seed, workers=1, prefix=f"chaos-{SystemIds(clock).token(4).hex()}",
        context=asked.context_name, home=asked.context.home,
    )  # fmt: skip
    generator.start()
    try:
        asked.say("load begins")
        while generator.running and (measured.head is None or measured.ran_s < WARM_UP_S + BEFORE_S):
            clock.pause(LOOK_S)
            measured.read(generator.news())
        _require_running(generator, folder)
        yield generator
        _require_running(generator, folder)
    finally:
        generator.stop()
        measured.read(generator.news())
        generator.close()


def _require_running(generator: Generator, folder: Path) -> None:
    if not generator.running:
        generator.check()
        raise UntrustedError(f"the load ended before the experiment did; see {folder / runs.LOG}")


@contextmanager
def _watching(watch: Watch) -> Iterator[None]:
    watch.start()
    try:
        yield
    finally:
        watch.stop()


def _break(asked: Asked, folder: Path, clock: SystemClock) -> Journal:
    toolkit = Toolkit(
        asked.experiment, folder, asked.context, lease_s=asked.lasts_s, recover_s=asked.recover_s, seed=asked.seed
    )
    asked.say(f"{asked.experiment.title}, for {asked.lasts_s:g} s")
    toolkit.start()
    try:
        while toolkit.running:
            clock.pause(LOOK_S)
    finally:
        toolkit.stop()
    return toolkit.journal()
