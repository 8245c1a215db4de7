"""The relayer's breaker (R74): after three failures in a row it holds off, each time twice as long, 30 s at most."""

from __future__ import annotations

FAILURES = 3
MOST_S = 30.0


class BackOff:
    """Counts failures in a row; time is handed in as monotonic seconds."""

    __slots__ = ("_failures", "_first_s", "_until")

    def __init__(self, first_s: float) -> None:
        self._first_s, self._failures, self._until = first_s, 0, float("-inf")

    @property
    def open(self) -> bool:
        """Whether the breaker has tripped and no call has succeeded since."""
        return self._failures >= FAILURES

    def wait_s(self, now: float) -> float:
        """0 when a call may be tried, else the seconds until then."""
        return max(0.0, self._until - now)

    def failed(self, now: float) -> None:
        """Count a failure; from the third on, calls are held off."""
        self._failures += 1
        if self.open:
            # The exponent is bounded, so that an outage of a week does not make a number of a thousand digits.
            doubled = self._first_s * 2 ** min(self._failures - FAILURES, 32)
            self._until = now + min(doubled, MOST_S)

    def succeeded(self) -> None:
        """Forget the failures: calls pass again."""
        self._failures, self._until = 0, float("-inf")
