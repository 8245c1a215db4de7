"""Error budgets as a source: what the logs say to the minute, kept in the recording so that a replay shows the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from zjops.domain.clock import Clock
from zjops.domain.errors import ZjopsError
from zjops.feed.feed import Intake

if TYPE_CHECKING:
    from zjops.analytics.warehouse import Warehouse
    from zjops.slo.report import Standing

MILLION = 1_000_000
MINUTE_MS = 60_000
SHARE = 30
"""A reading may take a thirtieth of the time until the next: a large log is read more seldom."""
GIVE_UP_S = 0.05
BUDGETS = "budgets"
"""The kind of reading."""


class Budget(NamedTuple):
    """An objective over a span: `bad` of `total` events, where `target_ppm` must be good.

    `covers_s` is how much of its period is known; `words` says what is missing, where that is known. `period` is that
    of the objective, None for a window of a recording; `outlook` says when it will be empty, its burn and its policy;
    `alert` is the loudest burn-rate alert that fires, such as `PAGE 14.4x 1h`.
    """

    name: str
    plan: str
    target_ppm: int
    total: int
    bad: int
    covers_s: int
    words: str | None = None
    period: str | None = None
    outlook: str | None = None
    alert: str | None = None

    @property
    def allowed(self) -> int:
        """How many of this many may be bad."""
        return self.total * (MILLION - self.target_ppm) // MILLION

    @property
    def left_share(self) -> float | None:
        """What is left of that, 1 for all; negative when more was spent than there is. None for no event."""
        micro = self.total * (MILLION - self.target_ppm)
        return None if not micro else 1 - self.bad * MILLION / micro


class BudgetsSeen(msgspec.Struct, frozen=True):
    """Every objective at the end of the minute before `minute` (since the epoch); or why the logs did not say."""

    minute: int
    budgets: Sequence[Budget] = ()
    why: str | None = None


def read_budgets(
    log_dir: Path, minute: int, opened: Callable[[Warehouse], None] = lambda warehouse: None
) -> BudgetsSeen:  # fmt: skip
    """What the logs say at a minute, as `zjops slo` counts. May take seconds; a log that cannot be read is said.

    `opened` gets what is asked, so that another thread can interrupt it.
    """
    # Only now: DuckDB takes longer to load than the first picture may take.
    from zjops.analytics.warehouse import Warehouse
    from zjops.slo.catalogue import objectives_of
    from zjops.slo.report import standings

    try:
        with Warehouse(log_dir) as warehouse:
            opened(warehouse)
            return BudgetsSeen(minute, [_budget(one) for one in standings(warehouse, objectives_of(), minute)])
    except ZjopsError as exc:
        return BudgetsSeen(minute, why=str(exc))


class LogBudgets:
    """Reads the logs of this machine once a minute, more seldom where that takes long."""

    def __init__(self, log_dir: Path, clock: Clock) -> None:
        self._log_dir, self._clock = log_dir, clock
        self._asked: Warehouse | None = None

    async def run(self, intake: Intake) -> None:
        """Until it is cancelled."""
        while True:
            began, minute = self._clock.monotonic(), intake.now_ms() // MINUTE_MS
            seen = await self._read(minute)
            intake.changes.reading(BUDGETS, intake.now_ms(), seen)
            due = (minute + stride(self._clock.monotonic() - began)) * MINUTE_MS
            await self._clock.sleep(max(0.0, due - intake.now_ms()) / 1000)

    async def _read(self, minute: int) -> BudgetsSeen:
        """Read in a thread. Whoever leaves is not kept waiting by a large log: what is asked of it is given up."""
        reading = asyncio.ensure_future(asyncio.to_thread(read_budgets, self._log_dir, minute, self._opened))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # Again and again: between two questions there is nothing to interrupt.
            while not reading.done():
                self._give_up()
                await asyncio.wait([reading], timeout=GIVE_UP_S)
            reading.exception()
            raise
        finally:
            self._asked = None

    def _give_up(self) -> None:
        if self._asked is not None:
            from duckdb import ConnectionException

            # It may have ended by itself in this moment.
            with contextlib.suppress(ConnectionException):
                self._asked.db.interrupt()

    def _opened(self, warehouse: Warehouse) -> None:
        self._asked = warehouse


def stride(took_s: float) -> int:
    """After how many minutes a log is read again, by how long it took."""
    return 1 + int(took_s * SHARE / 60)


def _budget(one: Standing) -> Budget:
    from zjops.slo.report import burn_text, outlook_text, span_text, state_text

    objective, budget = one.objective, one.budget
    known = budget.left_ppm is not None
    says = (outlook_text(one) if known and budget.left >= 0 else "", burn_text(one), state_text(one))
    return Budget(
        objective.slo, objective.plan, MILLION - budget.budget_ppm, budget.counted.total, budget.counted.bad,
        budget.counted.covered * 60, period=span_text(budget.period), outlook=" · ".join(filter(None, says)),
        alert=burn_text(one) if one.firing else None,
    )  # fmt: skip
