"""What came of an experiment: the verdict and its reason, and every figure that is told of it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from zjops.audit.findings import Report
from zjops.chaos.experiments import Experiment
from zjops.chaos.toolkit import Journal
from zjops.chaos.verdict import Findings, Second, Spent, Times, Verdict, Window, decide, spent, times, windows
from zjops.chaos.watching import Sample
from zjops.domain.indicators import AVAILABILITY, EVERY_PLAN
from zjops.load import aftermath
from zjops.load.gate import Flaw, figures_within, flaws
from zjops.load.histogram import Histogram
from zjops.load.measured import Measured, Tally
from zjops.load.outcome import hop_rows
from zjops.slo.catalogue import objectives_of

WARM_UP_S = 2.0
"""The first seconds of the load, which count for nothing."""
BEFORE = "before the fault"


class Seen(NamedTuple):
    """What was seen of a run: by the generator, by who looked on, and by who asked afterwards.

    `struck` is how often faults struck, of those that count it; `audit` is None where none could be made, `hops` are
    empty where nobody knows them.
    """

    measured: Measured
    samples: list[Sample]
    struck: dict[str, int]
    audit: Report | None
    hops: dict[str, Histogram]


class Result(NamedTuple):
    """What came of an experiment. `audit` is None where none could be made.

    `flaws` are of the generator before the fault, `latency` is that of all requests, `hops` how long each step took
    after the acceptance, `struck` how often faults struck that count it.
    """

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
    flaws: list[Flaw]
    latency: Histogram
    hops: dict[str, Histogram]
    struck: dict[str, int]
    seed: int
    command: str
    lease_s: float
    began_ms: int

    @property
    def story(self) -> list[str]:
        """The counter-example as lines, none where every job came out right."""
        return [] if self.audit is None or self.audit.story is None else self.audit.story.lines()


class Untold(NamedTuple):
    """An experiment of which nothing is known, and why: the load or the platform ended before it did."""

    experiment: Experiment
    reason: str
    command: str
    lease_s: float
    verdict: Literal["cannot tell"] = "cannot tell"


def judged(
    experiment: Experiment, journal: Journal, seen: Seen, *, seed: int, command: str, lease_s: float, began_ms: int
) -> Result:  # fmt: skip
    """The result of an experiment that is over."""
    measured, samples, struck, audit, hops = seen
    seconds, at = seconds_of(measured), moments(journal, measured, samples, began_ms)
    found = flaws_before(measured, at.began_ms) if journal.steps else []
    verdict, reason = decide(Findings(
        journal.steady_before, journal.steady_after, journal.acted, at.healed_ms is not None,
        at.recovered_ms is not None,
        None if audit is None else audit.ok, _texts(found, "load"), _texts(found, "speed"),
    ))  # fmt: skip
    return Result(
        experiment, verdict, reason, journal, at, windows(seconds, samples, at), spent(seconds, availability_ppm()),
        seconds, samples, audit, found, measured.over(measured.scenario.judged()).latency, hops, struck, seed,
        command, lease_s, began_ms,
    )  # fmt: skip


def moments(journal: Journal, measured: Measured, samples: list[Sample], began_ms: int) -> Times:
    """When the fault began, was noticed, healed and over, as far as is known by now."""
    fault_ms = journal.steps[0].began_ms if journal.steps else began_ms
    return times(seconds_of(measured), samples, fault_ms, healed_at(journal, samples))


def availability_ppm() -> int:
    """What is asked of the platform's availability, in millionths: the objective of all plans."""
    return next(one.target_ppm for one in objectives_of() if (one.slo, one.plan) == (AVAILABILITY, EVERY_PLAN))


def flaws_before(measured: Measured, fault_ms: int) -> list[Flaw]:
    """What was wrong with the generator before anything was broken: from then on, who knows whose fault it is."""
    began_ms = measured.head.began_ms if measured.head else fault_ms
    return flaws(figures_within(measured, BEFORE, WARM_UP_S, (fault_ms - began_ms) / 1000))


def _texts(found: list[Flaw], kind: str) -> tuple[str, ...]:
    return tuple(flaw.text for flaw in found if flaw.kind == kind)


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
    some = tally.latency
    return Second(
        at_ms, tally["offered"], tally["accepted"], tally["shed"], tally["errors"], tally["timeouts"], some.ms(50),
        some.ms(99), some.ms(100), tally["server_errors"], tally["dropped"],
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
        "flaws": [flaw._asdict() for flaw in result.flaws], "struck": result.struck,
        "windows": [window._asdict() for window in result.windows], "hops": hop_rows(result.hops),
        "budget": {"bad": cost.bad, "total": cost.total, "allowed_ppm": cost.allowed_ppm, "month_ppm": cost.month_ppm,
                   "seconds": round(cost.seconds, 2)},
        "audit": None if result.audit is None else aftermath.audited(result.audit),
        "seed": result.seed, "command": result.command, "began_ms": result.began_ms,
    }  # fmt: skip
