"""Runs for tests: lines as the generator writes them."""

from __future__ import annotations

from typing import Any

from zjops.load.histogram import Histogram
from zjops.load.measured import Measured
from zjops.load.records import SCHEMA, Cpu, Head, Tail, TenantMade, Tick
from zjops.load.scenario import Phase, Scenario

MS = 1_000


def scenario(**changes: Any) -> Scenario:
    """Two seconds of warm-up and ten that count, at 100 a second."""
    phases = (
        Phase(name="warm-up", duration_s=2, rate=100, warmup=True),
        Phase(name="main", duration_s=10, rate=100),
    )  # fmt: skip
    return Scenario(**{"name": "made", "text": "For tests.", "phases": phases} | changes)


def tick(
    second: int, *, phase: int = 1, op: str = "submit", times_ms: list[float] | None = None, **counts: Any
) -> Tick:
    """A second in which every request took the given times and was accepted, unless counts say otherwise."""
    times = [int(ms * MS) for ms in (times_ms if times_ms is not None else [5.0] * 100)]
    latency = Histogram.of(times).counts
    given = {"offered": len(times), "started": len(times), "accepted": len(times), "jobs": len(times)} | counts
    return Tick(
        worker=0, second=second, phase=phase, op=op, latency=latency, service=latency,
        lag=given.pop("lag", {500: len(times)}), **given,
    )  # fmt: skip


def run(*ticks: Tick, of: Scenario | None = None, cpu: float = 0.3, whole: bool = True) -> Measured:
    """A run with its head and tail, whose generator took a share of a core all the time."""
    asked = of or scenario()
    measured = Measured(asked)
    tenants = [TenantMade(tenant="load-1", plan="enterprise", values={"active_jobs": 7})]
    measured.take(Head(schema=SCHEMA, began_ms=1_000_000, workers=1, tenants=tenants))
    measured.read(ticks)
    for second in range(int(asked.duration_s)):
        measured.take(Cpu(worker=0, from_s=second, to_s=second + 1, cpu_s=cpu))
    measured.take(Tail(worker=0, ran_s=asked.duration_s + 0.5, whole=whole))
    return measured


def steady(**counts: Any) -> list[Tick]:
    """Every second of the made scenario alike."""
    return [tick(second, phase=0 if second < 2 else 1, **counts) for second in range(12)]
