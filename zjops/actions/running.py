"""Doing an act to one after the other: at a bounded rate, stopped at any time, each refusal by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from zjops.actions.acts import RELAYER_ACTS, Act, Door, Opener, counted
from zjops.client.http import retry_after
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem, UnreachableError, ZjopsError

PER_S = 50.0
"""Requests a second; far below what the operators' plan grants."""
BUSY_TRIES, BUSY_MOST_S = 5, 30.0
FATAL = frozenset({401, 403, 503})
"""Answers that every other job would get too: no credentials, no right, no platform."""
BUSY = "rate-limit-exceeded"
STOPPED = "stopped"
"""Why a run ended that somebody ended."""


class Refusals(NamedTuple):
    """How many were refused with one code, and what the first of them was told."""

    number: int
    example: str


class Report(NamedTuple):
    """How an act went. `unknown` is one that was sent and not answered; `why` it ended before all were reached."""

    act: Act
    total: int
    done: int
    refused: dict[str, Refusals]
    unknown: str | None
    why: str | None

    @property
    def not_reached(self) -> int:
        """Those that nothing was sent for."""
        answered = self.done + sum(one.number for one in self.refused.values())
        return self.total - answered - (self.unknown is not None)

    @property
    def whole(self) -> bool:
        """Whether all of it was done."""
        return self.done == self.total


class Run:
    """One act on its way. `go` is for a thread; everything else may be asked from elsewhere meanwhile."""

    def __init__(
        self, act: Act, items: Sequence[str], reason: str, open_door: Opener, clock: Clock, *, per_s: float = PER_S,
        wait: Callable[[float], bool] | None = None,
    ) -> None:  # fmt: skip
        self.act, self._items, self._reason, self._open = act, items, reason, open_door
        self._clock, self._gap_s = clock, 1 / per_s
        self._stopped = threading.Event()
        self._wait = wait or self._stopped.wait
        self._done = 0
        self._refused: dict[str, Refusals] = {}
        self._unknown: str | None = None
        self._why: str | None = None

    def stop(self) -> None:
        """Nothing more is begun; safe twice."""
        self._stopped.set()

    @property
    def report(self) -> Report:
        """How far it is."""
        return Report(self.act, len(self._items), self._done, dict(self._refused), self._unknown, self._why)

    def go(self, heard: Callable[[Report], None] = lambda report: None) -> Report:
        """Do it to all; `heard` is told after each. Refusals are counted, an unreachable platform ends it."""
        try:
            with self._open() as door:
                self._go(door, heard)
        except ZjopsError as exc:
            self._why = str(exc)
        return self.report

    def _go(self, door: Door, heard: Callable[[Report], None]) -> None:
        due_s = self._clock.monotonic()
        for item in self._items:
            early_s = due_s - self._clock.monotonic()
            if (early_s > 0 and self._wait(early_s)) or self._stopped.is_set():
                self._why = STOPPED
                break
            due_s = max(due_s, self._clock.monotonic()) + self._gap_s
            if not self._one(door, item):
                break
            heard(self.report)

    def _one(self, door: Door, item: str) -> bool:
        """Do it to one; whether to go on."""
        for left in range(BUSY_TRIES - 1, -1, -1):
            try:
                self._send(door, item)
            except Problem as problem:
                if problem.kind.code == BUSY and left:
                    if self._wait(min(BUSY_MOST_S, retry_after(problem))):
                        self._why = STOPPED
                        return False
                    continue
                return self._refuse(problem)
            except UnreachableError as exc:
                self._unknown, self._why = item, str(exc)
                return False
            self._done += 1
            return True
        raise AssertionError("unreachable")

    def _refuse(self, problem: Problem) -> bool:
        if problem.status in FATAL or problem.kind.code == BUSY:
            self._why = f"{problem.status} {problem.kind.code}: {problem.detail}"
            return False
        known = self._refused.get(problem.kind.code, Refusals(0, problem.detail))
        self._refused[problem.kind.code] = known._replace(number=known.number + 1)
        return True

    def _send(self, door: Door, item: str) -> None:
        match self.act:
            case Act.CANCEL:
                door.cancel_job(item, self._reason)
            case Act.RETRY:
                door.retry_dead_letter(item, self._reason)
            case Act.REDELIVER:
                door.redeliver(item, self._reason)
            case Act.PAUSE | Act.RESUME:
                door.pause_relayer(self.act is Act.PAUSE, self._reason)


def told(report: Report) -> list[str]:
    """How it went, in lines: done, refused by reason, not reached and why."""
    of = "" if report.act in RELAYER_ACTS else f" of {report.total:,}"
    lines = [f"{report.act}: done, {counted(report.act, report.done)}{of}"]
    if not report.done:
        lines = [f"{report.act}: nothing was done"]
    refused = sorted(report.refused.items(), key=lambda one: -one[1].number)
    lines += [f"  refused: {found.number:,} {code} ({found.example})" for code, found in refused]
    if report.unknown is not None:
        lines.append(f"  not known: {report.unknown} was sent and not answered")
    if report.not_reached:
        lines.append(f"  not reached: {report.not_reached:,}")
    if report.why is not None:
        lines.append(f"  ended early: {report.why}")
    return lines


def progress(report: Report) -> str:
    """How far it is, in a line."""
    refused = sum(one.number for one in report.refused.values())
    told_refused = f", {refused:,} refused" if refused else ""
    return f"{report.act}: {report.done:,} of {report.total:,} done{told_refused}"
