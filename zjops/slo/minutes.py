"""Minutes of an indicator: good and bad events in each, and minutes of which nothing is known (C79)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from operator import add
from typing import NamedTuple


class Count(NamedTuple):
    """Events of a window. `known` are its minutes with an event, `covered` those since the history began."""

    good: int
    bad: int
    known: int
    covered: int

    @property
    def total(self) -> int:
        """Good and bad."""
        return self.good + self.bad

    @property
    def unknown(self) -> int:
        """Covered minutes without a single event: they are neither good nor bad."""
        return self.covered - self.known


class Minutes:
    """Buckets `(minute, good, bad)` in ascending order, of a history from the minute `since` to before `until`.

    Minutes are counted since the Unix epoch. A bucket outside of the history, or without an event, does not count.
    """

    def __init__(self, buckets: Iterable[tuple[int, int, int]], since: int, until: int) -> None:
        held = [one for one in buckets if min(since, until) <= one[0] < until and one[1] + one[2]]
        self._keep([at for at, _, _ in held], [good for _, good, _ in held], [bad for _, _, bad in held], since, until)

    @classmethod
    def of_columns(cls, at: list[int], good: list[int], bad: list[int], since: int, until: int) -> Minutes:
        """The same from columns; those of which every bucket counts are taken as they are, which is quick."""
        if at and (at[0] < since or at[-1] >= until or not min(map(add, good, bad))):
            return cls(zip(at, good, bad, strict=True), since, until)
        found = cls.__new__(cls)
        found._keep(at, good, bad, since, until)
        return found

    def _keep(self, at: list[int], good: list[int], bad: list[int], since: int, until: int) -> None:
        self.since, self.until = min(since, until), until
        self.at, self.good, self.bad = at, good, bad
        self._good_before = [0, *accumulate(self.good)]
        self._bad_before = [0, *accumulate(self.bad)]

    def last(self, length: int) -> Count:
        """The last `length` minutes."""
        first = bisect_left(self.at, self.until - length)
        good, bad = self._good_before[-1] - self._good_before[first], self._bad_before[-1] - self._bad_before[first]
        return Count(good, bad, len(self.at) - first, min(length, self.until - self.since))

    def first_in(self, length: int) -> int:
        """The index of the first bucket of the last `length` minutes."""
        return bisect_left(self.at, self.until - length)

    def silent(self) -> int:
        """For how many minutes up to the end nothing is known."""
        return self.until - (self.at[-1] + 1 if self.at else self.since)
