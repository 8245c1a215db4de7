"""A recording as a source: the same pulses as when it was live, as quickly as asked for."""

from __future__ import annotations

from zjops.domain.clock import Clock
from zjops.domain.errors import UsageError
from zjops.feed.feed import TICK_S, Intake
from zjops.feed.messages import RECORDING
from zjops.recording.reader import Recording

SECOND_MS = 1000


class Playback:
    """Plays a recording from a moment on; at its end it stays there."""

    def __init__(self, recording: Recording, clock: Clock, *, speed: float = 1.0, from_ms: int | None = None) -> None:
        span = recording.span() or (0, 0)
        self._recording, self._clock, self._speed = recording, clock, speed
        self.first_ms, self.last_ms = span
        self.moment_ms = min(max(span[0] if from_ms is None else from_ms, span[0]), span[1])

    async def run(self, intake: Intake) -> None:
        """Until it is cancelled, or the recording has ended."""
        began, from_ms = self._clock.monotonic(), self.moment_ms
        played_s = from_ms // SECOND_MS
        intake.moment_ms = from_ms
        while True:
            passed = (self._clock.monotonic() - began) * SECOND_MS * self._speed
            self.moment_ms = min(self.last_ms, from_ms + int(passed))
            intake.moment_ms, intake.ended = self.moment_ms, self.moment_ms >= self.last_ms
            # A second is told when it is over, or with the end.
            until_s = self.moment_ms // SECOND_MS + (1 if intake.ended else 0)
            try:
                self._play(played_s, until_s - 1, intake)
            except UsageError as exc:
                intake.stale(RECORDING, str(exc))
            played_s = max(played_s, until_s)
            if intake.ended:
                return
            await self._clock.sleep(TICK_S)

    def _play(self, first_s: int, last_s: int, intake: Intake) -> None:
        if first_s <= last_s:
            for second in self._recording.series(first_s, last_s):
                for index, count in enumerate(second[1:]):
                    intake.changes.seconds[second.second][index] += count
            for row in self._recording.traffic(first_s, last_s):
                sums = [row.total, row.good, row.refused, row.bad, row.within_300ms, row.within_500ms, *row.histogram]
                intake.changes.requests[row.second, row.source, row.plan] = sums
        away = {outage.source: outage for outage in self._recording.outages(self.moment_ms)}
        for source in set(intake.stale_by) - set(away):
            intake.fresh(source)
        for outage in away.values():
            intake.stale(outage.source, outage.reason, outage.since)
