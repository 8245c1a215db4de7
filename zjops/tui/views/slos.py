"""SLOs: every objective with what is left of its budget, from whoever knows it."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult

from zjops.feed.budgets import MILLION, Budget
from zjops.recording.reader import Recording
from zjops.tui.budgets import Shown, budgets_at, name_of
from zjops.tui.figures import bar, percent, span
from zjops.tui.ink import BAD, BOLD, DIM, GOOD, PLAIN, WARN, Line, title
from zjops.tui.moment import Instant, window_text
from zjops.tui.views.base import View
from zjops.tui.widgets import Sheet

RISKY = 0.25
WIDE, BAR, SHORT_BAR = 110, 24, 8


class Slos(View):
    """The budgets."""

    NAME, TITLE = "slos", "SLOs"
    HINTS = (("{ }", "window"), ("[ ]", "step"), ("j k", "scroll"))

    def compose(self) -> ComposeResult:
        yield Sheet()

    def read(self, recording: Recording, instant: Instant) -> Shown:
        return budgets_at(recording, instant)

    def show(self, found: Shown, instant: Instant) -> None:
        sheet = self.query_one(Sheet)
        sheet.put(draw(found.budgets, instant, found.scope, sheet.size.width or 80))


def draw(found: Sequence[Budget], instant: Instant, scope: str, width: int) -> list[Line]:
    """The budgets as lines: worst first within each plan."""
    covers = max((budget.covers_s for budget in found), default=0)
    note = f"last {window_text(instant.window_s)}, {span(covers * 1000)} of it recorded"
    if any(budget.period for budget in found):
        note = f"over each objective's period, {span(covers * 1000)} of it known"
    lines: list[Line] = [title("Error budgets", note), [(scope, DIM)]]
    lines += [[(f"▲ {words}", WARN)] for words in dict.fromkeys(budget.words for budget in found) if words]
    lines.append([])
    size = BAR if width >= WIDE else SHORT_BAR
    head = f"    {'objective':<14}{'plan':<11}{'target':>7}{'good':>9}  {'':{size}}  left, bad ones"
    lines.append([(head, DIM)])
    for budget in found:
        lines.append(_line(budget, size))
    return lines


def _line(budget: Budget, size: int) -> Line:
    left = budget.left_share
    name = f"{name_of(budget, 25)}{percent(budget.target_ppm, MILLION):>7}"
    if left is None:
        when = f"in {budget.period}" if budget.period else "in this window"
        return [("  ○ ", DIM), (name, PLAIN), (f"{'–':>9}  nothing happened {when}", DIM)]
    glyph, style = ("✖", BAD) if left <= 0 else ("▲", WARN) if left < RISKY else ("●", GOOD)
    good = percent(budget.total - budget.bad, budget.total)
    return [
        (f"  {glyph} ", style), (name, PLAIN), (f"{good:>9}  ", BOLD), (bar(left, size), style),
        (f"  {words(budget)}", style), (f"; {budget.outlook}" if budget.outlook else "", DIM),
    ]  # fmt: skip


def words(budget: Budget) -> str:
    """What is left, in words."""
    left = budget.left_share or 0.0
    if left <= 0:
        return f"spent: {budget.bad:,}, not {budget.allowed:,}"
    return f"{left * 100:.0f} % left, {budget.allowed - budget.bad:,} more"
