"""Error budgets by the engine behind `zjops slo`, over each objective's whole period, from the logs on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zjops.domain.errors import ZjopsError
from zjops.recording.reader import Recording
from zjops.tui.budgets import MILLION, Budget, Budgets, RecordedBudgets
from zjops.tui.moment import Instant

if TYPE_CHECKING:
    from zjops.slo.report import Standing

MINUTE_MS = 60_000
SHARE = 30
"""A reading may take a thirtieth of the time until the next: a large log is read more seldom."""


class LogBudgets:
    """What the logs say to the minute; where they cannot be read, what the recording says, and why."""

    def __init__(self, log_dir: Path, monotonic: Callable[[], float], otherwise: Budgets | None = None) -> None:
        self._log_dir, self._monotonic = log_dir, monotonic
        self._otherwise = otherwise or RecordedBudgets()
        self._lock = threading.Lock()
        self._minute, self._stride = -1, 1
        self._found: list[Budget] = []
        self._why: str | None = None

    @property
    def scope(self) -> str:
        """What the budgets cover, in words."""
        if self._why is not None:
            return f"{self._otherwise.scope} ({self._why})"
        return "over each objective's period, from the logs, as zjops slo counts; minutes without data are unknown"

    def at(self, recording: Recording, instant: Instant) -> Sequence[Budget]:
        """Every objective at the end of the minute before an instant. May take seconds; called in a thread."""
        minute = instant.at_ms // MINUTE_MS
        with self._lock:
            if not self._minute <= minute < self._minute + self._stride:
                self._read(minute)
            if self._why is None:
                return self._found
        return self._otherwise.at(recording, instant)

    def _read(self, minute: int) -> None:
        # Only now: DuckDB takes longer to load than the first picture may take.
        from zjops.analytics.warehouse import Warehouse
        from zjops.slo.catalogue import objectives_of
        from zjops.slo.report import standings

        began = self._monotonic()
        try:
            with Warehouse(self._log_dir) as warehouse:
                self._found = [_budget(one) for one in standings(warehouse, objectives_of(), minute)]
            self._why = None
        except ZjopsError as exc:
            self._why = str(exc)
        took_s = self._monotonic() - began
        self._minute, self._stride = minute, 1 + int(took_s * SHARE / 60)


def _budget(one: Standing) -> Budget:
    from zjops.slo.report import burn_text, outlook_text, span_text, state_text

    objective, budget = one.objective, one.budget
    known = budget.left_ppm is not None
    says = (outlook_text(one) if known and budget.left >= 0 else "", burn_text(one), state_text(one))
    return Budget(
        objective.slo, objective.plan, MILLION - budget.budget_ppm, budget.counted.total, budget.counted.bad,
        budget.counted.covered * 60, period=span_text(budget.period), outlook=" · ".join(filter(None, says)),
    )  # fmt: skip
