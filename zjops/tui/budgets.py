"""Error budgets as the terminal shows them, behind a port: whoever knows more than a recording can take its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from zjops.domain.requests import API, NOBODY, PROBER
from zjops.feed.messages import API as API_SOURCE
from zjops.recording.reader import Recording
from zjops.tui.figures import span as span_text
from zjops.tui.moment import Instant

MILLION = 1_000_000
AVAILABILITY_PPM, WITHIN_300_PPM, WITHIN_500_PPM = 999_000, 950_000, 990_000
"""The shares that are promised (R102, R103)."""
SUCCESS_PPM = 950_000


class Budget(NamedTuple):
    """An objective over a span: `bad` of `total` events, where `target_ppm` must be good.

    `covers_s` is how much of its period is known; `words` says what is missing, where that is known. `period` is that
    of the objective, None for a window of a recording; `outlook` says when it will be empty, its burn and its policy.
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

    @property
    def allowed(self) -> int:
        """How many of this many may be bad."""
        return self.total * (MILLION - self.target_ppm) // MILLION

    @property
    def left_share(self) -> float | None:
        """What is left of that, 1 for all; negative when more was spent than there is. None for no event."""
        micro = self.total * (MILLION - self.target_ppm)
        return None if not micro else 1 - self.bad * MILLION / micro


class Budgets(Protocol):
    """Where budgets come from."""

    @property
    def scope(self) -> str:
        """What they cover, in words."""
        ...

    def at(self, recording: Recording, instant: Instant) -> Sequence[Budget]:
        """Every objective as it stood at an instant. May take a while; called in a thread."""
        ...


class RecordedBudgets:
    """What the recording's window alone says: shares of the window, no period, no policy."""

    scope = "of the window alone: what was recorded, not the period of the objective"

    def at(self, recording: Recording, instant: Instant) -> Sequence[Budget]:
        """Availability and latency by plan, and the success of jobs."""
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
