"""When each arrival is due, long before anybody knows how quickly the one before it was answered.

The whole schedule is one series for all processes of the generator; process `index` of `of` takes every `of`-th of
it. So the same seed gives the same arrivals however many processes share them.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zjops.load.scenario import Arrivals, Phase


class Due(NamedTuple):
    """An arrival: seconds from the start of the run, the number of its phase, and whether it is of the flood."""

    at_s: float
    phase: int
    flood: bool = False


def arrivals(phases: Sequence[Phase], kind: Arrivals, seed: int) -> Iterator[Due]:
    """Every arrival of a run, in order.

    `fixed` has them evenly, by the rate of the moment; `poisson` has them by chance, each independent of all others.
    Either way they are points of a process of rate one, stretched so that it has the wanted rate. A flood is a process
    of its own beside it.
    """
    own = (Due(at_s, phase) for at_s, phase in _stretched(phases, [(p.rate, p.last_rate) for p in phases], kind, seed))
    if not any(phase.flood for phase in phases):
        return own
    rates = [(phase.flood or 0.0, phase.flood or 0.0) for phase in phases]
    flood = (Due(at_s, phase, True) for at_s, phase in _stretched(phases, rates, kind, ~seed))
    return heapq.merge(own, flood, key=lambda due: due.at_s)


def _stretched(
    phases: Sequence[Phase], rates: Sequence[tuple[float, float]], kind: Arrivals, seed: int
) -> Iterator[tuple[float, int]]:
    """Seconds from the start and the number of the phase of each arrival; `rates` are those at the ends of phases."""
    points = _evenly() if kind == "fixed" else _by_chance(random.Random(seed))  # noqa: S311 - a load, no secret
    point, start_s, before = next(points), 0.0, 0.0
    for number, (phase, (first, last)) in enumerate(zip(phases, rates, strict=True)):
        count = (first + last) / 2 * phase.duration_s
        while point < before + count:
            yield start_s + _time_of(first, last, phase.duration_s, point - before), number
            point = next(points)
        start_s, before = start_s + phase.duration_s, before + count


def share(series: Iterator[Due], index: int, of: int) -> Iterator[Due]:
    """The arrivals of one process of several."""
    for number, due in enumerate(series):
        if number % of == index:
            yield due


def _evenly() -> Iterator[float]:
    point = 0.5
    while True:
        yield point
        point += 1.0


def _by_chance(chance: random.Random) -> Iterator[float]:
    point = 0.0
    while True:
        point += chance.expovariate(1.0)
        yield point


def _time_of(first: float, last: float, duration_s: float, arrivals: float) -> float:
    """Seconds into a phase after which so many arrivals were due: the inverse of the rate's integral."""
    slope = (last - first) / duration_s
    if slope == 0:
        return arrivals / first
    return 2 * arrivals / (first + math.sqrt(max(0.0, first**2 + 2 * slope * arrivals)))
