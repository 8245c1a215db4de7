"""Overview: the pipeline with rate, depth, oldest age and health at every stage, and what is wrong in a few lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from textual.app import ComposeResult

from zjops.domain.text import one_line
from zjops.feed.budgets import Budget
from zjops.recording.reader import Recording
from zjops.recording.rows import Act, ErrorGroup
from zjops.tui.budgets import budgets_at, name_of
from zjops.tui.figures import cell, chart, clock, coin, count, fitted, jobs, rate, short, span, sparkline
from zjops.tui.health import GLYPHS, Level
from zjops.tui.ink import (
    BAD,
    BOLD,
    DIM,
    GOOD,
    LEVEL_STYLES,
    LINK,
    PLAIN,
    SPARK,
    WARN,
    Line,
    Span,
    beside,
    title,
    width_of,
)
from zjops.tui.moment import Instant, window_text
from zjops.tui.pipeline import RATE_S, Facts, Stage, batch_text, facts_of, points, stages_of
from zjops.tui.views.base import View
from zjops.tui.widgets import Sheet

WIDE = 120
LEAST_CHART, MOST_CHART = 6, 16
FAULTS = (Level.FAILING, Level.STALE)
RISKY = 0.25
"""Below this share of a budget it is shown as a fault (R105)."""


class Seen(NamedTuple):
    """What the overview shows."""

    facts: Facts
    stages: Sequence[Stage]
    budgets: Sequence[Budget]
    errors: Sequence[ErrorGroup]
    acts: Sequence[Act]


class Overview(View):
    """The whole platform at a glance."""

    NAME, TITLE = "overview", "overview"
    HINTS = (("2", "jobs"), ("7", "errors"), ("p", "freeze"), ("[ ]", "step"), ("{ }", "window"), ("L", "live"))

    def compose(self) -> ComposeResult:
        yield Sheet()

    def read(self, recording: Recording, instant: Instant) -> Seen:
        facts = facts_of(recording, instant)
        return Seen(
            facts, stages_of(facts), budgets_at(recording, instant).budgets,
            recording.errors(instant.first_ms, instant.at_ms)[:6], recording.acts(instant.at_ms, 4),
        )  # fmt: skip

    def show(self, found: Seen, instant: Instant) -> None:
        sheet = self.query_one(Sheet)
        sheet.put(draw(found, sheet.size.width or 80, sheet.size.height))


def draw(seen: Seen, width: int, height: int) -> list[Line]:
    """The overview as lines; on a wide screen blocks stand beside each other, on a high one there are charts."""
    lines = [*_pipeline(seen, width), []]
    blocks = [_budgets(seen), _errors(seen), _batches(seen), _acts(seen)]
    if width < WIDE:
        for block in blocks:
            lines += [*block, []]
        return lines[:-1]
    half = width // 2 - 2
    left, right = [*blocks[0], [], *blocks[3]], [*blocks[1], [], *blocks[2]]
    lines += beside(left, right, half)
    room = height - len(lines) - 1
    if room >= LEAST_CHART:
        high = min(MOST_CHART, room - 2)
        lines += [[], *beside(_requests_chart(seen, half, high), _jobs_chart(seen, half, high), half)]
    return lines


def _requests_chart(seen: Seen, width: int, height: int) -> list[Line]:
    facts = seen.facts
    values = points(facts, [(second, total) for second, total, _ in facts.requests])
    return _chart("Requests", values, facts, width, height, LINK)


def _jobs_chart(seen: Seen, width: int, height: int) -> list[Line]:
    facts = seen.facts
    values = points(facts, [(row.second, row.confirmed) for row in facts.series])
    return _chart("Jobs final", values, facts, width, height, GOOD)


def _chart(name: str, values: Sequence[float], facts: Facts, width: int, height: int, style: str) -> list[Line]:
    """A chart with its scale: the highest column, by the second."""
    shown = fitted(values, width - 8)
    bucket_s = facts.instant.window_s / max(1, len(shown)) if len(shown) < len(values) else facts.bucket_s
    most = max(shown, default=0.0)
    lines = [title(name, f"per second, last {window_text(facts.instant.window_s)}")]
    for index, row in enumerate(chart(shown, height, most)):
        scale = rate(most / bucket_s) if index == 0 else "0" if index == height - 1 else ""
        lines.append([(f"{scale:>6} ", DIM), (row, style)])
    return lines


def _pipeline(seen: Seen, width: int) -> list[Line]:
    facts = seen.facts
    window = window_text(facts.instant.window_s)
    spark = 10 if width < 100 else min(80, width - 86)
    head = f"  {'':9}{'rate/s':>8}{'waiting':>8}{'oldest':>7}  {'':9} {f'last {window}':<{spark}}  why"
    note = f"{clock(facts.instant.first_ms)} to {clock(facts.instant.at_ms)}, rates of the last {RATE_S} s"
    lines: list[Line] = [title("Pipeline", note), [(head, DIM)]]
    for index, stage in enumerate(seen.stages):
        last = index == len(seen.stages) - 1
        branch = "┌" if index == 0 else "└" if last else "├"
        lines += _stage(stage, branch, " " if last else "│", spark, width)
    return lines


def _stage(stage: Stage, branch: str, below: str, spark: int, width: int) -> list[Line]:
    """A stage and why it stands so; the reason of a fault gets lines of its own where it would be cut."""
    level = stage.health.level
    style = LEVEL_STYLES[level]
    line: Line = [
        (f"{branch} ", DIM), (f"{stage.name:<9}", BOLD), (f"{rate(stage.per_s):>8}", PLAIN),
        (f"{short(stage.waiting):>8}", PLAIN), (f"{span(stage.oldest_ms):>7}", PLAIN),
        (f"  {GLYPHS[level]} {level.value:<7} ", style), (sparkline(fitted(stage.series, spark), spark), SPARK),
        ("  ", PLAIN),
    ]  # fmt: skip
    why, room = one_line(stage.health.why), width - width_of(line)
    if level in FAULTS and width_of([(why, style)]) > room:
        rows = textwrap.wrap(why, max(20, width - 5))
        return [line, *([(f"{below}   ", DIM), (row, style)] for row in rows)]
    shown = cell(why, room).rstrip() if room > 0 else ""
    line.append((shown, style if level in (*FAULTS, Level.SLOW) else DIM))
    return [line]


def _budgets(seen: Seen) -> list[Line]:
    window = window_text(seen.facts.instant.window_s)
    known = [budget for budget in seen.budgets if budget.total]
    whose = "their periods" if any(budget.period for budget in known) else f"the last {window}"
    lines = [title("Error budgets", f"left of what {whose} may have bad; 4 says more")]
    for budget in sorted(known, key=lambda one: one.left_share or 0)[:4]:
        lines.append(_budget(budget))
    return lines if known else [*lines, [("  no request and no ended job in this window", DIM)]]


def _budget(budget: Budget) -> Line:
    left = budget.left_share or 0.0
    glyph, style = ("✖", BAD) if left <= 0 else ("▲", WARN) if left < RISKY else ("●", GOOD)
    share = f"{max(0, left) * 100:.0f} % left" if left > 0 else "spent"
    name: Span = (name_of(budget, 25), PLAIN)
    return [(f"  {glyph} ", style), name, (f"{share:>10}", style), (f"   {budget.bad:,} of {budget.total:,} bad", DIM)]


def _errors(seen: Seen) -> list[Line]:
    lines = [title("Errors", f"last {window_text(seen.facts.instant.window_s)}")]
    for group in seen.errors[:4]:
        age = span(seen.facts.instant.at_ms - group.last_at)
        lines.append([
            ("  ✖ ", BAD), (cell(group.error_code, 20), BOLD), (f" {count(group.jobs):>7}", PLAIN),
            (f"  {cell(group.job_type, 15)} last {age} ago", DIM),
        ])  # fmt: skip
    return lines if seen.errors else [*lines, [("  ● no job failed", GOOD)]]


def _batches(seen: Seen) -> list[Line]:
    facts = seen.facts
    balance = None if facts.relayer is None or facts.relayer.balance_wei is None else int(facts.relayer.balance_wei)
    told = [f"{facts.open.batches:,} open, {facts.open.mined:,} of them mined"] if facts.open.batches else []
    told += [f"the relayer has {coin(balance)} coins"] if balance is not None else []
    note = "; ".join(told)
    lines = [title("Newest batches", note)]
    for batch in facts.batches[:4]:
        gas = f"{batch.gas_used // max(1, batch.jobs):,} gas a job" if batch.gas_used else ""
        lines.append([
            (f"  {batch.batch_id:>6}", LINK), (f" {jobs(batch.jobs):>11}  ", PLAIN),
            (f"{batch_text(batch, facts):<11}", GOOD if batch.state_at(facts.instant.at_ms) == "final" else WARN),
            (f"{span(facts.instant.at_ms - batch.closed_at):>7} ago  {gas}", DIM),
        ])  # fmt: skip
    return lines if facts.batches else [*lines, [("  none yet", DIM)]]


def _acts(seen: Seen) -> list[Line]:
    if not seen.acts:
        return [title("Operators"), [("  nobody did anything", DIM)]]
    lines = [title("Operators", "newest first")]
    for act in seen.acts:
        about = f" {act.tenant}" if act.tenant else ""
        reason = f": {act.reason}" if act.reason else ""
        lines.append([(f"  {clock(act.at)} ", DIM), (cell(f"{act.actor} {act.action}{about}{reason}", 56), PLAIN)])
    return lines
