"""The search for the highest rate that holds: doubled until it does not, then halved in between."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

CLOSE = 1.1
"""The search ends when the lowest rate that did not hold is no more than this many times the highest that did."""

SCHEMA = "zjops.load.knee/1"
OWN_END, PLATFORM, GENERATOR, INTERRUPTION = "the search's own end", "the platform", "the generator", "an interruption"


class Found(NamedTuple):
    """What a search came to so far: a row a step, the highest rate that held, and what ended it.

    `broken` says that the audit of a step found a job that did not come out right.
    """

    scenario: str
    began_ms: int
    seed: int
    command: str
    rows: tuple[dict[str, Any], ...] = ()
    knee_rps: float | None = None
    limited_by: str = OWN_END
    broken: bool = False

    @property
    def text(self) -> str:
        """In words."""
        held = "no rate held" if self.knee_rps is None else f"{self.knee_rps:,.0f} a second hold"
        return f"{held}; what ends it is {self.limited_by}"

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"schema": SCHEMA} | self._asdict()


class Search:
    """Ask for `rate`, tell how it went, until that is None."""

    def __init__(self, first: float, most: float) -> None:
        self._most = most
        self.held: float | None = None
        self.broke: float | None = None
        self.rate: float | None = min(first, most)

    def tell(self, held: bool) -> None:
        """How the rate that was asked for went."""
        assert self.rate is not None
        if held:
            self.held = self.rate
        else:
            self.broke = self.rate
        self.rate = self._next()

    def _next(self) -> float | None:
        if self.broke is None:
            assert self.held is not None
            return None if self.held >= self._most else min(self._most, self.held * 2)
        if self.held is None:
            return None if self.broke < 2 else self.broke / 2
        return None if self.broke / self.held <= CLOSE else math.sqrt(self.broke * self.held)
