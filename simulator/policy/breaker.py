"""A circuit breaker for one tenant (R57, R107, C87): closed, open, half-open; only 5xx and timeouts count."""

from __future__ import annotations

import enum

WINDOW_S = 30
LEAST_REQUESTS = 20
FAILURE_SHARE = 0.5
OPEN_S = 10.0


class State(enum.StrEnum):
    """Where a breaker stands (R109)."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts a window of seconds; time is handed in as monotonic seconds."""

    __slots__ = ("_bad", "_seconds", "_total", "_trial", "opened_at", "state")

    def __init__(self) -> None:
        self.state, self.opened_at, self._trial = State.CLOSED, 0.0, False
        self._seconds, self._total, self._bad = [-1] * WINDOW_S, [0] * WINDOW_S, [0] * WINDOW_S

    def admit(self, now: float, dependency_ready: bool = False) -> float:
        """0 when a request may pass, else the seconds to wait.

        An open breaker goes half-open after its time, or at once when what it depends on answers again (C87); half
        open lets one request through at a time.
        """
        if self.state is State.CLOSED:
            return 0.0
        if self.state is State.OPEN:
            left = self.opened_at + OPEN_S - now
            if left > 0 and not dependency_ready:
                return left
            self.state, self._trial = State.HALF_OPEN, False
        if self._trial:
            return 1.0
        self._trial = True
        return 0.0

    def untried(self) -> None:
        """The request that was let through has tried nothing; the next one may."""
        self._trial = False

    def record(self, now: float, failed: bool) -> bool:
        """Count an answer; returns whether it opened the breaker."""
        if self.state is State.HALF_OPEN:
            self._trial = False
            if failed:
                return self._open(now)
            self.__init__()  # type: ignore[misc]
            return False
        if self.state is State.OPEN:
            return False
        self._count(int(now), failed)
        return failed and self._tripped(int(now)) and self._open(now)

    def _count(self, second: int, failed: bool) -> None:
        slot = second % WINDOW_S
        if self._seconds[slot] != second:
            self._seconds[slot], self._total[slot], self._bad[slot] = second, 0, 0
        self._total[slot] += 1
        self._bad[slot] += failed

    def _tripped(self, second: int) -> bool:
        fresh = [i for i in range(WINDOW_S) if 0 <= second - self._seconds[i] < WINDOW_S]
        total, bad = sum(self._total[i] for i in fresh), sum(self._bad[i] for i in fresh)
        return total >= LEAST_REQUESTS and bad >= FAILURE_SHARE * total

    def _open(self, now: float) -> bool:
        self.state, self.opened_at = State.OPEN, now
        return True
