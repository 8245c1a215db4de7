"""The time machine: which instant all panels show, and how much before it. Pure."""

from __future__ import annotations

from typing import NamedTuple

WINDOWS_S = (60, 300, 900, 3_600, 21_600, 86_400)
STEPS_PER_WINDOW = 12
"""How many steps back make a window."""


class Instant(NamedTuple):
    """What is shown: the moment (Unix ms), the seconds before it, and whether it moves."""

    at_ms: int
    window_s: int
    live: bool

    @property
    def first_ms(self) -> int:
        """Where the window begins."""
        return self.at_ms - self.window_s * 1000


def window_text(seconds: int) -> str:
    """A window in words."""
    for unit, size in (("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


class TimeMachine:
    """Follows what is new, or stands at an instant. Stepping freezes, also while it was live.

    `end_ms` is the last moment of a recording that is played: beyond now, and there already.
    """

    def __init__(
        self, now_ms: int, window_s: int = 300, at_ms: int | None = None, *, end_ms: int | None = None
    ) -> None:  # fmt: skip
        self.now_ms, self.window_s, self.frozen_ms, self._end_ms = now_ms, window_s, at_ms, end_ms
        self._ahead_ms = 0

    @property
    def last_ms(self) -> int:
        """The last moment that can be shown."""
        return self.now_ms if self._end_ms is None else max(self.now_ms, self._end_ms)

    @property
    def instant(self) -> Instant:
        """What is shown."""
        live = self.frozen_ms is None
        return Instant(self.now_ms if self.frozen_ms is None else self.frozen_ms, self.window_s, live)

    def moved(self, now_ms: int, ahead_ms: int = 0) -> None:
        """Now is later; a clock that was set back does not take anything away that was seen.

        Where it turns out that the platform's clock differs from ours, now is what it says.
        """
        self.now_ms = max(self.now_ms, now_ms) if ahead_ms == self._ahead_ms else now_ms
        self._ahead_ms = ahead_ms

    def freeze(self) -> None:
        """Stand still, or go on when it stands."""
        self.frozen_ms = self.now_ms if self.frozen_ms is None else None

    def step(self, steps: int, first_ms: int | None = None) -> None:
        """Go by so many steps, not before the first moment that there is and not beyond the last."""
        least = self.now_ms if first_ms is None else min(first_ms, self.now_ms)
        moved = self.instant.at_ms + steps * self.step_ms
        self.frozen_ms = max(least, min(self.last_ms, moved))

    @property
    def step_ms(self) -> int:
        """How long a step is."""
        return self.window_s * 1000 // STEPS_PER_WINDOW

    def go(self, at_ms: int) -> None:
        """Stand at a moment, of this calendar."""
        self.frozen_ms = max(0, min(self.last_ms, at_ms))

    def widen(self, by: int) -> None:
        """The next wider window, or the next narrower one."""
        place = WINDOWS_S.index(self.window_s) if self.window_s in WINDOWS_S else 1
        self.window_s = WINDOWS_S[max(0, min(len(WINDOWS_S) - 1, place + by))]

    def live(self) -> None:
        """Follow what is new."""
        self.frozen_ms = None
