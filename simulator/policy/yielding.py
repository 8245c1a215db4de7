"""When work that may be late gives way to work that may not, in a process that has too little time for both.

A crowd that passes is better served if what it brings is taken in first and passed on afterwards. One that stays has to
be passed on all the same: the time for which way is given is saved up slowly and spent in a moment.
"""

from __future__ import annotations

LOOK_S = 0.05
"""The processor's time is looked at over steps of so long."""
FULL, NEARLY = 0.8, 0.6
"""From the first share of a processor on, a process whose work is done in one thread has too little time; it has again
below the second, if nothing waits either: while it waits for the disk, it uses no processor."""
MOST_S, LEAST_S, SAVED = 10.0, 1.0, 0.1
"""For how long way is given at most at once; what must be left of that to begin; and how much is saved up again each
second in which none is given."""


class Yielding:
    """Told from time to time how much processor time its thread has used, it says whether to give way now."""

    def __init__(self) -> None:
        self._left_s = MOST_S
        self._seen: tuple[float, float] | None = None
        self.gives_way = False

    def look(self, used_s: float, now_s: float, *, crowded: bool) -> bool:
        """Whether to give way until the next look.

        `used_s` is the processor time since some moment; `crowded` says that much of what is urgent waits.
        """
        if self._seen is None:
            self._seen = used_s, now_s
            return False
        passed_s = now_s - self._seen[1]
        if passed_s < LOOK_S:
            return self.gives_way
        share = (used_s - self._seen[0]) / passed_s
        self._seen = used_s, now_s
        if self.gives_way:
            # Nobody may have looked for a while.
            self._left_s = max(0.0, self._left_s - passed_s)
            self.gives_way = self._left_s > 0 and (crowded or share >= NEARLY)
        else:
            self._left_s = min(MOST_S, self._left_s + SAVED * passed_s)
            self.gives_way = self._left_s >= LEAST_S and share >= FULL
        return self.gives_way
