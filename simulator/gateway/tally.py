"""What was answered, counted by method, route, status and plan: one look-up a request, laid out when it is asked for.

The metrics are asked for by Prometheus; what came in since the last second is taken for the request log.

The library's own counters look a label up and take a lock for each of the three metrics of every request, which costs
as much as half of the gateway's checks; a collector of ours is its documented way to hand over counts kept elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from simulator.telemetry import BYTES, SECONDS
from zjops.domain.requests import Rollup, rollup_of

Key = tuple[str, str, int, str]
"""Method, route, status and plan."""


class _Counts:
    """How often values fell below each bound, with their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def join(self, other: _Counts) -> None:
        """Add what another counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound."""
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class RequestTally(Collector):
    """`http_requests_total`, `http_request_duration_seconds` and `http_request_size_bytes` (R113)."""

    def __init__(self) -> None:
        self._cells: dict[Key, tuple[_Counts, _Counts]] = {}
        self._taken: dict[Key, list[int]] = {}

    def add(self, key: Key, seconds: float, size: float) -> None:
        """Count one answered request; a value that equals a bound lies below it, as Prometheus has it."""
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = (_Counts(SECONDS), _Counts(BYTES))
        times, sizes = cell
        times.counts[bisect_left(SECONDS, seconds)] += 1
        times.total += seconds
        sizes.counts[bisect_left(BYTES, size)] += 1
        sizes.total += size

    def take(self, second: int, process: str) -> list[Rollup]:
        """What was answered since the last call, as rows of the request log: the counts have its boundaries."""
        found = []
        for key, (times, _) in self._cells.items():
            taken, self._taken[key] = self._taken.get(key), list(times.counts)
            if taken == times.counts:
                continue
            counts = times.counts if taken is None else [a - b for a, b in zip(times.counts, taken, strict=True)]
            method, route, status, plan = key
            found.append(rollup_of(
                counts, second=second, process=process, route=route, method=method, status=status, plan=plan
            ))  # fmt: skip
        return found

    def collect(self) -> Iterable[Metric]:
        """The three metrics as they stand."""
        cells = list(self._cells.items())
        answered = CounterMetricFamily(
            "http_requests", "Answered requests.", labels=["method", "route", "status", "plan"]
        )
        for (method, route, status, plan), (times, _) in cells:
            answered.add_metric([method, route, str(status), plan], sum(times.counts))
        times_by = [((key[0], key[1], key[3]), cell[0]) for key, cell in cells]
        sizes_by = [((key[0], key[1]), cell[1]) for key, cell in cells]
        return (
            answered,
            _histogram("http_request_duration_seconds", "Time to answer.", ("method", "route", "plan"), times_by),
            _histogram("http_request_size_bytes", "Size of request bodies.", ("method", "route"), sizes_by),
        )


def _histogram(
    name: str, text: str, labels: tuple[str, ...], parts: Sequence[tuple[tuple[str, ...], _Counts]]
) -> HistogramMetricFamily:
    sums: dict[tuple[str, ...], _Counts] = {}
    for values, counts in parts:
        sums.setdefault(values, _Counts(counts.bounds)).join(counts)
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, counts in sums.items():
        family.add_metric(values, buckets=counts.buckets(), sum_value=counts.total)
    return family
