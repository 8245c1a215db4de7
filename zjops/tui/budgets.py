"""Error budgets as the terminal shows them, live and replayed alike: as they stand in the recording."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from zjops.domain.requests import API, NOBODY, PROBER
from zjops.feed.budgets import BUDGETS, Budget, BudgetsSeen
from zjops.feed.messages import API as API_SOURCE
from zjops.recording.reader import Recording
from zjops.tui.figures import cell
from zjops.tui.figures import span as span_text
from zjops.tui.moment import Instant

AVAILABILITY_PPM, WITHIN_300_PPM, WITHIN_500_PPM = 999_000, 950_000, 990_000
"""The shares that are promised (R102, R103)."""
SUCCESS_PPM = 950_000
WINDOW = "of the window alone: what was recorded, not the period of the objective"
YOUNG = "the logs have no whole minute of anything yet"
PERIODS = "from the logs, as zjops slo counts; minutes without data are unknown"


class Shown(NamedTuple):
    """Budgets, and what they cover, in words."""

    scope: str
    budgets: Sequence[Budget]


def budgets_at(recording: Recording, instant: Instant) -> Shown:
    """Every objective as it stood at an instant: as the logs said then, else what the window alone says."""
    found = recording.reading(BUDGETS, instant.at_ms, BudgetsSeen)
    if found is None:
        return Shown(WINDOW, of_window(recording, instant))
    seen = found[1]
    if seen.why is not None:
        return Shown(f"{WINDOW} ({seen.why})", of_window(recording, instant))
    if not any(budget.covers_s and budget.total for budget in seen.budgets):
        return Shown(f"{WINDOW} ({YOUNG})", of_window(recording, instant))
    return Shown(PERIODS, seen.budgets)


def name_of(budget: Budget, width: int) -> str:
    """Its objective and plan as columns; a plan's own objective, such as availability-pro, does not say it twice."""
    objective = budget.name.removesuffix(f"-{budget.plan}")
    return f"{cell(objective, width - 12)} {cell(budget.plan, 11)}"


def of_window(recording: Recording, instant: Instant) -> Sequence[Budget]:
    """Availability and latency by plan, and the success of jobs: shares of the window, no period, no policy."""
    last_s = instant.at_ms // 1000 - 1
    first_s = last_s - instant.window_s + 1
    span = recording.span()
    covers = 0 if span is None else max(0, min(instant.at_ms, span[1]) - max(instant.first_ms, span[0])) // 1000
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for source, plan, *counts in recording.request_sums(first_s, last_s):
        # The prober's own rows say what a client felt; what the API answered to it would count twice.
        if (source == API and plan not in (NOBODY, PROBER)) or source == PROBER:
            sums[plan] = [a + b for a, b in zip(sums[plan], counts, strict=True)]
    away = recording.away_ms(API_SOURCE, instant.first_ms, instant.at_ms)
    words = f"the API was away for {span_text(away)} of it, which is not counted" if away else None
    made = [budget._replace(words=words) for plan in sorted(sums) for budget in _of_plan(plan, sums[plan], covers)]
    ended = recording.series(first_s, last_s, instant.window_s)
    done, failed = (sum(getattr(row, name) for row in ended) for name in ("completed", "failed"))
    return [*made, Budget("job success", "all", SUCCESS_PPM, done + failed, failed, covers)]


def _of_plan(plan: str, sums: Sequence[int], covers_s: int) -> list[Budget]:
    total, good, bad, quick, slow = sums
    return [
        Budget("availability", plan, AVAILABILITY_PPM, total, bad, covers_s),
        Budget("within 300 ms", plan, WITHIN_300_PPM, good, good - quick, covers_s),
        Budget("within 500 ms", plan, WITHIN_500_PPM, good, good - slow, covers_s),
    ]
