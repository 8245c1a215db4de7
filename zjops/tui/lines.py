"""The line mode: the same numbers as text, a line every so often, for pipes and screen readers."""

from __future__ import annotations

from zjops.feed.messages import Pulse
from zjops.recording.reader import Recording
from zjops.tui.figures import clock, count, rate, span
from zjops.tui.health import Level
from zjops.tui.moment import Instant
from zjops.tui.pipeline import facts_of, stages_of, sum_of

LEAST_S = 1


class LineMode:
    """Says what was recorded since the line before, once the time for another has come."""

    def __init__(self, recording: Recording, every_s: int) -> None:
        self._recording, self._every_s = recording, max(LEAST_S, every_s)
        self._told_s: int | None = None

    def heard(self, pulse: Pulse) -> str | None:
        """The line that is due with a pulse, if one is. Of a second it is told when it is over by one."""
        until_s = pulse.at_ms // 1000 - (0 if pulse.ended else 1)
        if self._told_s is None:
            self._told_s = until_s
        if until_s - self._told_s < (1 if pulse.ended else self._every_s):
            return None
        first_s, self._told_s = self._told_s, until_s
        return self._line(pulse, first_s, until_s)

    def _line(self, pulse: Pulse, first_s: int, until_s: int) -> str:
        seconds = until_s - first_s
        events = sum_of(self._recording.series(first_s, until_s - 1))
        requests = self._recording.request_series(first_s, until_s - 1)
        total, bad = sum(row[1] for row in requests), sum(row[2] for row in requests)
        ended = events.completed + events.failed + events.cancelled
        parts = [
            clock(pulse.at_ms, date=True),
            f"requests {rate(total / seconds)}/s, {bad:,} bad",
            f"jobs submitted {rate(events.submitted / seconds)}/s, ended {rate(ended / seconds)}/s, "
            f"{events.failed:,} failed, final {rate(events.confirmed / seconds)}/s",
            self._depths(pulse.at_ms),
            f"over {seconds} s",
        ]
        parts += [f"{one.source} stale for {span(pulse.at_ms - one.since_ms)} ({one.reason})" for one in pulse.stale]
        return "; ".join(part for part in parts if part)

    def _depths(self, at_ms: int) -> str:
        """What waits, and every stage that is not well, in words."""
        facts = facts_of(self._recording, Instant(at_ms, 60, True))
        stages = {stage.name: stage for stage in stages_of(facts)}
        waits = [
            f"{count(stages[name].waiting)} {word}"
            for name, word in (("queue", "queued"), ("workers", "running"), ("relayer", "to confirm"))
            if stages[name].waiting is not None
        ]
        ill = [
            f"{stage.name} {stage.health.level.value}: {stage.health.why}"
            for stage in stages.values() if stage.health.level in (Level.SLOW, Level.FAILING)
        ]  # fmt: skip
        return ", ".join(waits) + ("; " + "; ".join(ill) if ill else "")
