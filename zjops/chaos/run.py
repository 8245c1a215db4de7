"""A whole experiment: load beside the platform, the fault, somebody who looks on, the audit, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zjops.audit.findings import Report
from zjops.chaos.experiments import Experiment
from zjops.chaos.toolkit import Journal, Toolkit, require_installed
from zjops.chaos.verdict import (
    Findings,
    Second,
    Spent,
    Times,
    Verdict,
    Window,
    decide,
    spent,
    times,
    windows,
)
from zjops.chaos.watching import Sample, Watch
from zjops.client.control import Control
from zjops.config import Context, find_home
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem, UnreachableError, UntrustedError, UsageError
from zjops.domain.ids import SystemIds
from zjops.load import aftermath, runs
from zjops.load.generator import Generator
from zjops.load.measured import Measured, Tally
from zjops.load.scenario import Phase, Scenario

BEFORE_S, AFTER_S = 5.0, 6.0
"""How long the load runs before anything is broken, and after the experiment is over."""
RECOVER_S = 60.0
LONGEST_S = 7_200.0
WARM_UP_S = 2.0
LOOK_S = 0.25
AUDIT_WAIT_S = 90.0
AVAILABILITY_PPM = 999_000
"""R102: what a run has spent is told of the budget of 99.9 %."""
Say = Callable[[str], None]


class Asked(NamedTuple):
    """What to break, where, under which load. `lease_s` None leaves the experiment's own."""

    experiment: Experiment
    context: Context
    context_name: str | None
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


class Result(NamedTuple):
    """What came of an experiment. `audit` is None where none could be made."""

    experiment: Experiment
    verdict: Verdict
    reason: str
    journal: Journal
    times: Times
    windows: list[Window]
    spent: Spent
    seconds: list[Second]
    samples: list[Sample]
    audit: Report | None
    seed: int
    command: str
    lease_s: float
    began_ms: int

    @property
    def story(self) -> list[str]:
        """The counter-example as lines, none where every job came out right."""
        return [] if self.audit is None or self.audit.story is None else self.audit.story.lines()


def conduct(asked: Asked) -> tuple[Result, Path]:
    """Run it. Raises `UsageError`, `UnreachableError`, `UntrustedError`."""
    require_installed()
    require_parts(asked.context, asked.experiment)
    aftermath.require_ready(asked.context)
    clock = SystemClock()
    began_ms = clock.now_ms()
    home = Path(asked.context.home) if asked.context.home else find_home(None)
    folder = runs.new_folder(home, f"chaos-{asked.experiment.name}", began_ms, asked.out)
    scenario = lasting(asked.scenario)
    runs.write_json(folder / runs.SCENARIO, scenario)
    measured = Measured(scenario)
    watch = Watch(asked.context, clock)
    with _generating(asked, folder, measured, clock), _watching(watch):
        journal = _break(asked, folder, clock)
        asked.say("looking on")
        clock.pause(AFTER_S)
    report = _audited(asked, runs.join_history(folder), clock)
    return _judged(asked, journal, measured, watch.samples, report, began_ms), folder


def _audited(asked: Asked, history: Path, clock: SystemClock) -> Report | None:
    """None of a platform that does not answer any more: what was seen of it is told all the same."""
    asked.say("auditing every job")
    try:
        return aftermath.prove(asked.context, history, AUDIT_WAIT_S, clock)
    except (UnreachableError, Problem) as exc:
        asked.say(f"the audit could not be made: {exc}")
        return None


def require_parts(context: Context, experiment: Experiment) -> None:
    """Raises `UsageError` where the platform has not got what the experiment needs."""
    control = Control(context)
    with closing(control.http):
        kinds = {kind["fault"]: kind["targets"] for kind in control.faults()["kinds"]}
    if "proxies" in experiment.needs and not kinds["link.delay"]:
        raise UsageError(
            f"{experiment.name} needs proxies before the platform's parts; start it with: "
            "zjops up --spread --set proxies=true, or give --fresh"
        )
    if experiment.target is not None and experiment.target not in kinds["stop"]:
        there = ", ".join(kinds["stop"])
        raise UsageError(f"there is no process {experiment.target} here ({there}); start it with: zjops up --spread")


def lasting(scenario: Scenario) -> Scenario:
    """The same load, at its steady rate for as long as it takes; judged by nobody, so it has no thresholds."""
    rate = next(phase.rate for phase in scenario.phases if not phase.warmup)
    phases = (
        Phase(name="warm-up", duration_s=WARM_UP_S, rate=rate, warmup=True),
        Phase(name="steady", duration_s=LONGEST_S, rate=rate),
    )
    return msgspec.structs.replace(scenario, phases=phases, thresholds=(), slos=())


@contextmanager
def _generating(asked: Asked, folder: Path, measured: Measured, clock: SystemClock) -> Iterator[None]:
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
        yield
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


def _judged(
    asked: Asked, journal: Journal, measured: Measured, samples: list[Sample], report: Report | None,
    began_ms: int,
) -> Result:  # fmt: skip
    seconds = seconds_of(measured)
    fault_ms = journal.steps[0].began_ms if journal.steps else began_ms
    healed_ms = healed_at(journal, samples)
    at = times(seconds, samples, fault_ms, healed_ms)
    found = Findings(
        journal.steady_before, journal.steady_after, journal.acted, healed_ms is not None, at.recovered_ms is not None,
        None if report is None else report.ok,
    )  # fmt: skip
    verdict, reason = decide(found)
    return Result(
        asked.experiment, verdict, reason, journal, at, windows(seconds, samples, at), spent(seconds, AVAILABILITY_PPM),
        seconds, samples, report, asked.seed, asked.command, asked.lasts_s, began_ms,
    )  # fmt: skip


def healed_at(journal: Journal, samples: list[Sample]) -> int | None:
    """When nothing was broken any more, Unix ms; None while something is.

    The end of the last fault that was seen, or of the last step where a step itself was the fault.
    """
    held = [number for number, sample in enumerate(samples) if sample.faults]
    if not held:
        acts = [step for step in journal.steps if step.ok]
        return acts[-1].ended_ms if acts else None
    after = samples[held[-1] + 1 :]
    return after[0].at_ms if after else None


def seconds_of(measured: Measured) -> list[Second]:
    """The requests of every second of the load that counts."""
    if measured.head is None:
        return []
    began = measured.head.began_ms
    return [
        _second(began + number * 1000, tally)
        for number, tally in measured.by_second().items()
        if number >= WARM_UP_S and tally["offered"]
    ]


def _second(at_ms: int, tally: Tally) -> Second:
    some, late = tally.latency, tally["timeouts"] + tally["dropped"]
    return Second(
        at_ms, tally["offered"], tally["accepted"], tally["shed"], tally["errors"], late, some.ms(50), some.ms(99),
        some.ms(100), tally["server_errors"],
    )  # fmt: skip


def summary(result: Result) -> dict[str, Any]:
    """The result for programs."""
    at, cost = result.times, result.spent
    return {
        "schema": "zjops.chaos/1", "experiment": result.experiment.name, "title": result.experiment.title,
        "verdict": result.verdict, "reason": result.reason, "lease_s": result.lease_s,
        "noticed_after_s": at.to_notice_s, "noticed_by": at.noticed_by, "healed_after_s": at.to_heal_s,
        "recovered_after_s": at.to_recover_s,
        "steady_before": result.journal.steady_before, "steady_after": result.journal.steady_after,
        "windows": [window._asdict() for window in result.windows],
        "budget": {"bad": cost.bad, "total": cost.total, "allowed_ppm": cost.allowed_ppm, "month_ppm": cost.month_ppm,
                   "seconds": round(cost.seconds, 2)},
        "audit": None if result.audit is None else aftermath.audited(result.audit),
        "seed": result.seed, "command": result.command, "began_ms": result.began_ms,
    }  # fmt: skip
