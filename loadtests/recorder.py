"""Counts what came of each request, in place: adding to a bucket is cheaper than keeping a value for later."""

from __future__ import annotations

from typing import Literal

from zjops.load.histogram import BITS
from zjops.load.records import Tick

Outcome = Literal["accepted", "shed", "errors", "server_errors", "timeouts"]
GRACE_S = 0.1
"""An arrival that is sent so soon after its phase still counts as sent in it."""
SHED = frozenset({429, 503})


class _Count:
    """What is new of one second, phase and kind of request."""

    __slots__ = (
        "accepted", "dropped", "errors", "jobs", "lag", "late", "latency", "offered", "server_errors", "service",
        "shed", "started", "statuses", "timeouts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.offered = self.started = self.late = self.accepted = self.shed = self.errors = 0
        self.server_errors = self.timeouts = self.dropped = self.jobs = 0
        self.latency: dict[int, int] = {}
        self.service: dict[int, int] = {}
        self.lag: dict[int, int] = {}
        self.statuses: dict[str, int] = {}


def outcome_of(status: int) -> Outcome:
    """What an answer counts as."""
    if 200 <= status < 300:
        return "accepted"
    if status in SHED:
        return "shed"
    return "server_errors" if status >= 500 else "errors"


def _count(counts: dict[int, int], seconds: float) -> None:
    us = int(seconds * 1e6)
    if us < 0:
        us = 0
    shift = us.bit_length() - BITS
    if shift > 0:
        us = us >> shift << shift
    counts[us] = counts.get(us, 0) + 1


class Recorder:
    """The counts of one process. `ends` says when each phase is over, in seconds from the start of the run."""

    def __init__(self, worker: int, ends: list[float], secondary: frozenset[str] = frozenset()) -> None:
        self._worker, self._ends, self._secondary = worker, ends, secondary
        self._counts: dict[tuple[int, int, str], _Count] = {}

    def _at(self, second: int, phase: int, op: str) -> _Count:
        key = second, phase, op
        found = self._counts.get(key)
        if found is None:
            found = self._counts[key] = _Count()
        return found

    def offered(self, second: int, phase: int, op: str) -> None:
        """A request that is due."""
        self._at(second, phase, op).offered += 1

    def taken_back(self, second: int, phase: int, op: str) -> None:
        """A request that was due and need not be sent any more: it counts as one that was never due."""
        self._at(second, phase, op).offered -= 1

    def sent(self, second: int, phase: int, op: str, due_s: float, start_s: float) -> None:
        """A request that is sent; times are in seconds from the start of the run."""
        found = self._at(second, phase, op)
        found.started += 1
        if start_s > self._ends[phase] + GRACE_S:
            found.late += 1
        _count(found.lag, start_s - due_s)

    def done(
        self, second: int, phase: int, op: str, *, due_s: float, start_s: float, end_s: float, outcome: Outcome,
        status: int, jobs: int,
    ) -> None:  # fmt: skip
        """A request that ended."""
        found = self._at(second, phase, op)
        found.jobs += jobs
        code = str(status)
        found.statuses[code] = found.statuses.get(code, 0) + 1
        if outcome == "accepted" or outcome == "timeouts":
            _count(found.latency, end_s - due_s)
            _count(found.service, end_s - start_s)
        if outcome == "server_errors":
            found.errors += 1
        elif status >= 500:
            # Shedding by 503 is a fault of the server's too, by the objective of availability (C78).
            found.server_errors += 1
        setattr(found, outcome, getattr(found, outcome) + 1)

    def dropped(self, second: int, phase: int, op: str) -> None:
        """A request that was due and never sent."""
        self._at(second, phase, op).dropped += 1

    def take(self) -> list[Tick]:
        """What is new since the last time."""
        counts, self._counts = self._counts, {}
        return [
            Tick(
                worker=self._worker, second=second, phase=phase, op=op, primary=op not in self._secondary,
                **{name: getattr(count, name) for name in _Count.__slots__},
            )
            for (second, phase, op), count in counts.items()
        ]  # fmt: skip
