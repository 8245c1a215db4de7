"""A run that is over: what was measured, what is thought of it, and the documents that say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from zjops.load.faults import Broken
from zjops.load.gate import Flaw, figures
from zjops.load.histogram import Histogram
from zjops.load.measured import Measured, Tally
from zjops.load.pressure import Stalls
from zjops.load.records import TenantMade
from zjops.load.roles import Cost
from zjops.load.thresholds import Judged, Verdict, as_record

SCHEMA, DETAIL_SCHEMA = "zjops.load/1", "zjops.load.detail/1"


class Outcome(NamedTuple):
    """Everything about a run. `audit` is None where none was made, `hops` are empty where there is no log.

    `story` is the audit's counter-example as lines, none where every job came out right.
    """

    measured: Measured
    judged: list[Judged]
    flaws: list[Flaw]
    verdict: Verdict
    final_within_s: float | None
    jobs_per_s: float | None
    hops: dict[str, Histogram]
    costs: list[Cost]
    audit: dict[str, Any] | None
    seed: int
    command: str
    interrupted: bool
    gave_up: str | None
    began_ms: int
    stalls: Stalls | None = None
    story: tuple[str, ...] = ()
    faults: tuple[Broken, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether the audit found that not every job came out right."""
        return self.audit is not None and not self.audit["ok"]

    @property
    def trusted(self) -> bool:
        """Whether the generator did what it was asked to, as quickly as it had to."""
        return not self.flaws

    @property
    def tenants(self) -> list[TenantMade]:
        """Who asked."""
        return self.measured.head.tenants if self.measured.head else []


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def summary(outcome: Outcome) -> dict[str, Any]:
    """The figures of all phases that count, with the members that the schema names and no others."""
    measured = outcome.measured
    phases = measured.scenario.judged()
    tally, seconds = measured.over(phases), sum(measured.elapsed_s(number) for number in phases)
    return {
        "schema": SCHEMA, "scenario": measured.scenario.name,
        "offered_rps": _rounded(tally["offered"] / seconds if seconds else 0.0),
        "achieved_rps": _rounded(tally.achieved / seconds if seconds else 0.0),
        "accepted": tally["accepted"], "shed": tally["shed"], "errors": tally["errors"],
        "timeouts": tally["timeouts"], "dropped": tally["dropped"],
    } | _times(tally) | {
        "trusted": outcome.trusted, "verdict": outcome.verdict, "final_within_s": _rounded(outcome.final_within_s),
        "audit": outcome.audit,
    }  # fmt: skip


def _times(tally: Tally) -> dict[str, float | None]:
    points = {"p50_ms": 50.0, "p95_ms": 95.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
    made = {name: _rounded(tally.latency.ms(point)) for name, point in points.items()}
    return made | {"service_p99_ms": _rounded(tally.service.ms(99)), "lag_p99_ms": _rounded(tally.lag.ms(99))}


def detail(outcome: Outcome) -> dict[str, Any]:
    """All that the summary has no member for."""
    measured, names = outcome.measured, [phase.name for phase in outcome.measured.scenario.phases]
    return {
        "schema": DETAIL_SCHEMA, "began_ms": outcome.began_ms, "seed": outcome.seed, "command": outcome.command,
        "interrupted": outcome.interrupted, "gave_up": outcome.gave_up, "jobs_per_s": _rounded(outcome.jobs_per_s),
        "phases": phase_rows(outcome), "operations": operation_rows(measured),
        "thresholds": [as_record(one, names) for one in outcome.judged],
        "flaws": [flaw._asdict() for flaw in outcome.flaws],
        "faults": [fault._asdict() for fault in outcome.faults],
        "disk_stalls": outcome.stalls._asdict() if outcome.stalls else None,
        "hops": hop_rows(outcome.hops), "costs": [cost.as_json() for cost in outcome.costs],
        "generator": {"processes": measured.head.workers if measured.head else 0, "cpu_us_a_request": _own(measured)},
        "tenants": [{"tenant": one.tenant, "plan": one.plan, "values": one.values} for one in outcome.tenants],
    }  # fmt: skip


def _own(measured: Measured) -> float | None:
    """What a request cost the generator, in microseconds of the processor."""
    sent = sum(tally["started"] for (_, op), tally in measured.ops.items() if op)
    return _rounded(sum(sample.cpu_s for sample in measured.cpu) / sent * 1e6 if sent else None, 1)


def phase_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """A row a phase."""
    measured, thresholds, rows = outcome.measured, [one.threshold for one in outcome.judged], []
    for number, phase in enumerate(measured.scenario.phases):
        tally, seconds = measured.phase(number), measured.elapsed_s(number)
        seen = figures(measured, thresholds, number)
        wrong = [flaw.text for flaw in outcome.flaws if flaw.phase == phase.name]
        rows.append({
            "phase": phase.name, "warmup": phase.warmup, "seconds": _rounded(seconds),
            "offered_rps": _rounded(tally["offered"] / seconds if seconds else 0.0, 1),
            "achieved_rps": _rounded(tally.achieved / seconds if seconds else 0.0, 1),
            "accepted": tally["accepted"], "shed": tally["shed"], "errors": tally["errors"],
            "timeouts": tally["timeouts"], "dropped": tally["dropped"], "jobs": tally["jobs"],
            **_times(tally), "generator_cpu": _rounded(seen.cpu), "trusted": not wrong,
        })  # fmt: skip
    return rows


def operation_rows(measured: Measured) -> list[dict[str, Any]]:
    """A row a kind of request, over the phases that count."""
    phases = measured.scenario.judged()
    names = sorted({op for number, op in measured.ops if op and number in phases})
    rows = []
    for name in names:
        tally = measured.over(phases, name)
        counts = {key: tally[key] for key in ("offered", "accepted", "shed", "errors", "timeouts", "dropped", "jobs")}
        rows.append({"operation": name, **counts, **_times(tally), "statuses": dict(sorted(tally.statuses.items()))})
    return rows


def hop_rows(hops: Mapping[str, Histogram]) -> list[dict[str, Any]]:
    """A row a step, from the acceptance; in the order in which a job takes them."""
    order = ("started", "completed", "webhook", "mined", "final")
    return [
        {"hop": name, "jobs": hop.total, "p50_ms": hop.ms(50), "p95_ms": hop.ms(95), "p99_ms": hop.ms(99),
         "max_ms": hop.ms(100)}
        for name in order if (hop := hops.get(name)) is not None
    ]  # fmt: skip
