"""Thresholds: what must hold, as one writes it in a scenario, and as the OpenSLO files say it.

p(99)<200                 a percentile of the latency, in milliseconds; also avg and max
accepted>=99.9%           a share of what was offered; also shed, timeouts, dropped, and errors,
                          which counts these three and every other refusal
failed<0.1%               the same without what was shed: answered by 429 or 503, for whatever reason
available>=99.9%          a share of what was offered that met no fault of the server's (C78)
within(300)>=95%          the share of accepted requests within so many milliseconds
jobs_per_s>=2500          jobs that became final on chain, a second
final_within_s<60         seconds from the last acceptance until every job is final
healthy_within_s<10       seconds from the end of the load until each process is ready and a no-op job
                          is done within 5 s
submit:p(99)<200          of one kind: submit, bulk, list, read, status, told, flood
submit:raised(99)<=1.5    how many times a percentile of the first phase that counts: for one phase
final:p(95)<15000         of a hop, from acceptance: started, completed, mined, final, webhook

A request that was given up counts in p, avg and max with the time after which it was, and in `within` not at all. So
these may only ask for less than the scenario's `timeout_s`: else what was given up would have been in time. A scenario
that asks for more is refused.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from zjops.domain.errors import UsageError
from zjops.domain.indicators import AVAILABILITY, EVERY_PLAN, LATENCY
from zjops.load.histogram import Histogram, bucket_of
from zjops.load.measured import Measured, Tally
from zjops.load.scenario import Scenario
from zjops.slo.model import MILLION, Objective

HOPS = ("started", "completed", "mined", "final", "webhook")
OPS = ("submit", "bulk", "list", "read", "status", "told", "flood")
RAISED = "raised"
TIMES = frozenset({"p", "avg", "max"})
SHARES = frozenset({"accepted", "shed", "errors", "failed", "timeouts", "dropped", "available", "within"})
HEALTHY = "healthy_within_s"
AFTER = frozenset({"jobs_per_s", "final_within_s", HEALTHY})
"""What is known only when the jobs have ended."""
KNOWN = TIMES | SHARES | AFTER | {RAISED}
CHANCE = 5
"""So many standard deviations more arrivals than planned may come yet."""
_TEXT = re.compile(r"(?:([a-z]+):)?([a-z_]+)(?:\(([0-9]+(?:\.[0-9]+)?)\))? *(<=|>=|<|>) *([0-9]+(?:\.[0-9]+)?)(%?)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip


class Threshold(NamedTuple):
    """One threshold. Times are in ms, shares from 0 to 1; `phase` is the one it holds for, None for all that count."""

    text: str
    scope: str
    metric: str
    argument: float
    comparison: str
    bound: float
    phase: int | None = None
    source: str = "scenario"

    @property
    def after(self) -> bool:
        """Whether it can be judged only when the jobs have ended."""
        return self.scope in HOPS or self.metric in AFTER

    @property
    def latency_ms(self) -> float | None:
        """The time that it allows a request, where that is what it is about."""
        if self.after:
            return None
        if self.metric in TIMES:
            return self.bound
        return self.argument if self.metric == "within" else None

    def holds(self, value: float) -> bool:
        """Whether a value is within it."""
        return _COMPARE[self.comparison](value, self.bound)


class Judged(NamedTuple):
    """A threshold and what was measured; `value` is None where there was nothing to measure."""

    threshold: Threshold
    value: float | None

    @property
    def ok(self) -> bool:
        """Whether it held. What could not be measured did not."""
        return self.value is not None and self.threshold.holds(self.value)


class After(NamedTuple):
    """What is known when the jobs have ended: the hops, in microseconds, and the figures of `AFTER`."""

    hops: dict[str, Histogram]
    figures: dict[str, float | None]


def parse(text: str, phase: int | None = None) -> Threshold:
    """A threshold as it is written. Raises `UsageError`."""
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"threshold {text!r} is not written like p(99)<200 or accepted>=99.9%")
    scope, metric, argument, comparison, number, percent = found.groups()
    made = Threshold(text.strip(), scope or "", metric, float(argument or 0), comparison,
                     float(number) / (100 if percent else 1), phase)  # fmt: skip
    wrong = _fault(made, argument is not None, bool(percent))
    if wrong:
        raise UsageError(f"threshold {text!r}: {wrong}")
    return made


def _fault(made: Threshold, argued: bool, percent: bool) -> str:
    if made.metric not in KNOWN:
        return f"there is no {made.metric}; there are {', '.join(sorted(KNOWN))}"
    if made.scope and made.scope not in (*HOPS, *OPS):
        return f"there is no {made.scope}; there are {', '.join((*OPS, *HOPS))}"
    if argued != (made.metric in ("p", "within", RAISED)):
        return f"{made.metric} takes {'a number in brackets' if not argued else 'no brackets'}"
    if made.metric == RAISED and made.phase is None:
        return "raised is of one phase: write it there"
    if made.metric in ("p", RAISED) and not 0 < made.argument <= 100:
        return "a percentile lies above 0 and at most at 100"
    if percent != (made.metric in SHARES):
        return f"{made.metric} is {'a share: write it with %' if not percent else 'no share'}"
    if made.scope and made.metric in AFTER:
        return f"{made.metric} is of the whole run"
    if made.scope in HOPS and made.metric not in {"p", "avg", "max", "within"}:
        return "a hop has p, avg, max and within"
    if made.scope in HOPS and made.phase is not None:
        return "hops are of the whole run"
    return ""


def of_objective(objective: Objective) -> Threshold:
    """What an objective asks of a run. Raises `UsageError` for one that a run cannot tell."""
    kind, within, target = objective.indicator.kind, objective.indicator.within_ms, objective.target_ppm / MILLION
    metrics = {AVAILABILITY: ("", "available"), LATENCY: ("", "within"), "start": ("started", "within"),
               "confirmation": ("final", "within"), "job-duration": ("completed", "within")}  # fmt: skip
    if kind not in metrics:
        raise UsageError(f"SLO {objective.slo} cannot be judged by a load run")
    scope, metric = metrics[kind]
    head = f"{scope}:{metric}" if scope else metric
    text = f"{head}{f'({within})' if within else ''}>={objective.target.replace(' ', '')}"
    return Threshold(text, scope, metric, float(within or 0), ">=", target, None, f"SLO {objective.slo}")


def of_scenario(measured: Measured, objectives: Iterable[Objective]) -> list[Threshold]:
    """All that must hold in a run: for all phases that count, for single ones, and by the SLOs that it names.

    Raises `UsageError`, also where a request that was given up would count as one in time.
    """
    scenario = measured.scenario
    found = [parse(text) for text in scenario.thresholds]
    found += [parse(text, number) for number, phase in enumerate(scenario.phases) for text in phase.thresholds]
    known = {one.slo: one for one in objectives if one.plan == EVERY_PLAN}
    for name in scenario.slos:
        if name not in known:
            raise UsageError(f"scenario {scenario.name}: there is no SLO {name}; there are {', '.join(known)}")
        found.append(of_objective(known[name]))
    for one in found:
        _require_below_timeout(one, scenario)
    return found


def _require_below_timeout(one: Threshold, scenario: Scenario) -> None:
    asked_ms = one.latency_ms
    # Who waits to be told of a job's end is not bound by the time that a request has.
    if asked_ms is None or one.scope == "told":
        return
    # The shortest time that a histogram tells of a request that was given up.
    if bucket_of(int(scenario.timeout_s * 1_000_000) - 1) <= int(asked_ms * 1000):
        raise UsageError(
            f"scenario {scenario.name}: {one.text} ({one.source}) asks for {asked_ms:g} ms, and requests are given up "
            f"after timeout_s = {scenario.timeout_s:g}, so that these would count as in time; raise timeout_s above it"
        )


def tightest_ms(thresholds: Iterable[Threshold], phase: int) -> float | None:
    """The shortest time that any threshold allows a request of a phase."""
    times = [t.latency_ms for t in thresholds if t.phase in (None, phase) and t.latency_ms is not None]
    return min(times, default=None)


def judge(thresholds: Iterable[Threshold], measured: Measured, after: After | None) -> list[Judged]:
    """Every threshold with its value; those of the jobs' ends only when that is given."""
    return [Judged(one, _value(one, measured, after)) for one in thresholds if after is not None or not one.after]


def _value(one: Threshold, measured: Measured, after: After | None) -> float | None:
    if one.metric in AFTER:
        return after.figures.get(one.metric) if after else None
    if one.scope in HOPS:
        hop = after.hops.get(one.scope) if after else None
        return of_times(hop, one.metric, one.argument) if hop else None
    tally = _tally(one, measured)
    if one.metric == RAISED:
        return _raised(tally, measured.phase(measured.scenario.judged()[0], one.scope), one.argument)
    if one.metric in TIMES or one.metric == "within":
        return of_times(tally.latency, one.metric, one.argument, tally["timeouts"])
    return share_of(tally, one.metric)


def _raised(now: Tally, before: Tally, percentile: float) -> float | None:
    """How many times what it was before a percentile is."""
    late, usual = now.latency.ms(percentile), before.latency.ms(percentile)
    return late / usual if late is not None and usual else None


def _tally(one: Threshold, measured: Measured) -> Tally:
    return measured.over(measured.scenario.judged() if one.phase is None else [one.phase], one.scope)


def of_times(times: Histogram, metric: str, argument: float, timeouts: int = 0) -> float | None:
    """A figure of a histogram; None where it is empty. `within` is of what was answered, all else counts timeouts.

    All timeouts lie beyond the `argument` of `within`, else it was no threshold of this scenario (`of_scenario`).
    """
    if not times.total:
        return None
    if metric == "p":
        return times.ms(argument)
    if metric == "max":
        return times.ms(100)
    if metric == "avg":
        return (times.mean_us() or 0.0) / 1000
    answered = times.total - timeouts
    return 1 - max(0, times.beyond(int(argument * 1000)) - timeouts) / answered if answered else None


def share_of(tally: Tally, metric: str) -> float | None:
    """A share of what was offered; None where nothing was."""
    total: int = tally["offered"]
    if metric == "available":
        return 1 - (tally["server_errors"] + tally["timeouts"]) / total if total else None
    if metric == "errors":
        return tally.refused / total if total else None
    if metric == "failed":
        return tally.failed / total if total else None
    return tally[metric] / total if total else None


def hopeless(thresholds: Sequence[Threshold], measured: Measured) -> Threshold | None:
    """A threshold that cannot hold any more, however well all that is still to come goes."""
    return next((one for one in thresholds if not one.after and _lost(one, measured)), None)


def _lost(one: Threshold, measured: Measured) -> bool:
    tally = _tally(one, measured)
    if one.metric == "max" and one.comparison in ("<", "<="):
        worst = tally.latency.ms(100)
        return worst is not None and not one.holds(worst)
    upward = one.metric in ("accepted", "available", "within")
    if one.scope or measured.scenario.model == "closed" or upward != (one.comparison in (">", ">=")):
        return False
    phases = measured.scenario.judged() if one.phase is None else [one.phase]
    planned = max(1.0, sum(measured.scenario.phases[number].arrivals for number in phases), tally["offered"])
    return _bad(one, tally) > _allowed(one) * (planned + CHANCE * math.sqrt(planned)) + 1


def _bad(one: Threshold, tally: Tally) -> int:
    """How many requests are against it already."""
    if one.metric == "p":
        return tally.latency.beyond(int(one.bound * 1000))
    if one.metric == "within":
        # Of what was answered, as the share itself is.
        return max(0, tally.latency.beyond(int(one.argument * 1000)) - tally["timeouts"])
    if one.metric in ("accepted", "errors"):
        return tally.refused
    if one.metric == "failed":
        return tally.failed
    if one.metric == "available":
        return tally["server_errors"] + tally["timeouts"]
    return tally[one.metric] if one.metric in SHARES else 0


def _allowed(one: Threshold) -> float:
    """The share of all requests that may be against it."""
    if one.metric == "p":
        return 1 - one.argument / 100
    if one.metric not in SHARES:
        return 1.0
    return one.bound if one.comparison in ("<", "<=") else 1 - one.bound


def as_record(judged: Judged, names: Sequence[str]) -> dict[str, Any]:
    """For programs."""
    one = judged.threshold
    phase = None if one.phase is None else names[one.phase]
    return {"threshold": one.text, "source": one.source, "phase": phase, "value": judged.value, "ok": judged.ok}


Verdict = Literal["pass", "fail", "not_trusted"]
