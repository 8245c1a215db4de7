"""Two sides of several runs each: is the second slower than the first, and can that be told at all?

Seconds of one run are not independent of each other, so blocks of ten seconds are drawn, and whole runs first (a
bootstrap in two stages): what differs from run to run is then in the interval too. What is compared is the ratio of
the second side's percentile to the first's.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from zjops.load.histogram import Histogram, highest_of
from zjops.load.measured import Measured

BLOCK_S = 10
RUNS_LEAST = 3
CHANGES_LEAST = 3
"""So often at least must the side change in the order in which the runs were made."""
DRAWS = 1_000
INTERVAL = 0.95
MARGIN = 0.1
"""A percentile may be this share higher and still count as the same."""
POINTS = (50.0, 95.0, 99.0)
Verdict = Literal["regression", "same", "cannot tell"]


class Made(NamedTuple):
    """A run: its name, when it began (Unix ms), whether it was trusted, what it ran, and its blocks.

    `whole` is one that was not ended early.
    """

    name: str
    began_ms: int
    trusted: bool
    scenario: str
    blocks: list[Histogram]
    whole: bool = True


class Change(NamedTuple):
    """One percentile of both sides, in ms, and the interval of their ratio."""

    percentile: float
    first_ms: float
    second_ms: float
    low: float
    high: float
    verdict: Verdict

    @property
    def ratio(self) -> float:
        """How many times the first is the second."""
        return self.second_ms / self.first_ms if self.first_ms else float("inf")


class Compared(NamedTuple):
    """What came of it, and why nothing can be told where that is so."""

    verdict: Verdict
    changes: list[Change]
    doubts: list[str]


def blocks_of(measured: Measured) -> list[Histogram]:
    """The phases that count, in blocks of ten seconds; what is left of a phase is a block too."""
    starts, found = measured.scenario.starts(), defaultdict[tuple[int, int], Histogram](Histogram)
    judged = set(measured.scenario.judged())
    for (phase, second), tally in measured.seconds.items():
        if phase in judged:
            # A phase may begin within a second.
            found[phase, int(max(0.0, second - starts[phase]) // BLOCK_S)].merge(tally.latency.counts)
    return [found[key] for key in sorted(found) if found[key].total]


def doubts(first: Sequence[Made], second: Sequence[Made]) -> list[str]:
    """Why two sides cannot be compared."""
    found = []
    for name, side in (("first", first), ("second", second)):
        if len(side) < RUNS_LEAST:
            found.append(f"the {name} side has {len(side)} runs; at least {RUNS_LEAST} are needed")
        found += [f"{run.name} is not trusted" for run in side if not run.trusted]
        found += [f"{run.name} was ended early" for run in side if not run.whole]
        found += [f"{run.name} has measured nothing" for run in side if not run.blocks]
    if len({run.scenario for run in (*first, *second)}) > 1:
        found.append("the runs are of different scenarios, or of one with other values")
    order = sorted([(run.began_ms, 0) for run in first] + [(run.began_ms, 1) for run in second])
    changes = sum(one[1] != other[1] for one, other in pairwise(order))
    if not found and changes < CHANGES_LEAST:
        found.append("the runs were not interleaved (first, second, first, second …), so that time may be what differs")
    return found


def compare(
    first: Sequence[Made], second: Sequence[Made], *, seed: int, margin: float = MARGIN, draws: int = DRAWS
) -> Compared:  # fmt: skip
    """The verdict. It can be told only where no doubt is left and the interval lies on one side of the margin."""
    wrong = doubts(first, second)
    if not all(any(run.blocks for run in side) for side in (first, second)):
        return Compared("cannot tell", [], wrong)
    one, other = _Side(first), _Side(second)
    chance = random.Random(seed)  # noqa: S311 - draws samples
    drawn = [(one.draw(chance), other.draw(chance)) for _ in range(draws)]
    changes = [_change(point, one, other, drawn, margin) for point in POINTS]
    verdicts: list[Verdict] = ["cannot tell"] if wrong else [change.verdict for change in changes]
    order: tuple[Verdict, ...] = ("regression", "cannot tell", "same")
    return Compared(min(verdicts, key=order.index), changes, wrong)


def _change(
    point: float, one: _Side, other: _Side, drawn: list[tuple[list[int], list[int]]], margin: float
) -> Change:  # fmt: skip
    ratios = sorted(other.percentile(theirs, point) / max(1, one.percentile(ours, point)) for ours, theirs in drawn)
    tail = (1 - INTERVAL) / 2
    low, high = ratios[int(tail * (len(ratios) - 1))], ratios[-1 - int(tail * (len(ratios) - 1))]
    verdict: Verdict = "regression" if low > 1 + margin else "same" if high <= 1 + margin else "cannot tell"
    whole = one.percentile(one.every(), point), other.percentile(other.every(), point)
    return Change(point, whole[0] / 1000, whole[1] / 1000, low, high, verdict)


class _Side:
    """The runs of a side, made ready for many draws: each block as running totals over the same values."""

    def __init__(self, runs: Sequence[Made]) -> None:
        blocks = [block for run in runs for block in run.blocks]
        self._values = sorted({bucket for block in blocks for bucket in block.counts})
        self._totals = [self._running(block) for block in blocks]
        numbers = iter(range(len(blocks)))
        self._runs = [[next(numbers) for _ in run.blocks] for run in runs if run.blocks]

    def _running(self, block: Histogram) -> list[int]:
        made, seen = [], 0
        for value in self._values:
            seen += block.counts.get(value, 0)
            made.append(seen)
        return made

    def every(self) -> list[int]:
        """All blocks once."""
        return list(range(len(self._totals)))

    def draw(self, chance: random.Random) -> list[int]:
        """Runs with replacement, and of each its blocks with replacement."""
        drawn = chance.choices(self._runs, k=len(self._runs))
        return [block for run in drawn for block in chance.choices(run, k=len(run))]

    def percentile(self, chosen: list[int], point: float) -> int:
        """A percentile of some blocks together, in microseconds."""
        totals = [self._totals[number] for number in chosen]
        rank = max(1, -(-sum(total[-1] for total in totals) * point // 100))
        found = bisect_left(range(len(self._values)), rank, key=lambda at: sum(total[at] for total in totals))
        return highest_of(self._values[min(found, len(self._values) - 1)])
