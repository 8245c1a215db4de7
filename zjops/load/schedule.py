"""When each arrival is due, long before anybody knows how quickly the one before it was answered.

The whole schedule is one series for all processes of the generator; process `index` of `of` takes every `of`-th of
it. So the same seed gives the same arrivals however many processes share them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zjops.load.scenario import Arrivals, Phase


class Due(NamedTuple):
    """An arrival: seconds from the start of the run, and the number of its phase."""

    at_s: float
    phase: int


def arrivals(phases: Sequence[Phase], kind: Arrivals, seed: int) -> Iterator[Due]:
    """Every arrival of a run, in order.

    `fixed` has them evenly, by the rate of the moment; `poisson` has them by chance, each independent of all others.
    Either way they are points of a process of rate one, stretched so that it has the wanted rate.
    """
    points = _evenly() if kind == "fixed" else _by_chance(random.Random(seed))  # noqa: S311 - a load, no secret
    point, start_s, before = next(points), 0.0, 0.0
    for number, phase in enumerate(phases):
        while point < before + phase.arrivals:
            yield Due(start_s + _time_of(phase, point - before), number)
            point = next(points)
        start_s, before = start_s + phase.duration_s, before + phase.arrivals


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


def _time_of(phase: Phase, arrivals: float) -> float:
    """Seconds into a phase after which so many arrivals were due: the inverse of the rate's integral."""
    slope = (phase.last_rate - phase.rate) / phase.duration_s
    if slope == 0:
        return arrivals / phase.rate
    return 2 * arrivals / (phase.rate + math.sqrt(max(0.0, phase.rate**2 + 2 * slope * arrivals)))
