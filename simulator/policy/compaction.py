"""Which files of a log become one: those of an hour once it has ended, and those of a day once that has."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import NamedTuple

MOST_ROWS = 100_000
"""What is read into memory at once, and the most that a merged file holds: more is several files."""
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SETTLED_AFTER_MS = 600_000
"""How long after its end a day may still get rows that the meter had not written by then."""
FOLD_AFTER_MS = DAY_MS
"""Requests stay by the second for this long after their day, then they are folded to minutes."""
KEEP_REPLACED_MS = 600_000
"""How long a file that was merged stays for those who had begun to read it."""


class Part(NamedTuple):
    """A file that counts: the range of its numbers, how many rows it has, the time of the newest (Unix ms)."""

    first: int
    last: int
    rows: int
    newest_ms: int
    folded: bool = False


def day_end_ms(day: str) -> int:
    """The end of a UTC day `YYYY-MM-DD`, in Unix ms."""
    return round(dt.datetime.fromisoformat(day + "T00:00:00+00:00").timestamp()) * 1_000 + DAY_MS


def is_over(day: str, now_ms: int) -> bool:
    """Whether no more rows of a day are to come."""
    return now_ms >= day_end_ms(day) + SETTLED_AFTER_MS


def is_to_fold(day: str, now_ms: int) -> bool:
    """Whether the requests of a day are old enough for minutes."""
    return now_ms >= day_end_ms(day) + FOLD_AFTER_MS


def merges(day: str, parts: Sequence[Part], now_ms: int) -> list[list[Part]]:
    """Which parts of a day, given in the order of their numbers, become one file each."""
    if is_over(day, now_ms):
        return [group for group in _runs(parts, lambda part: None) if len(group) > 1]
    ended = [part for part in parts if part.newest_ms // HOUR_MS < now_ms // HOUR_MS]
    return [group for group in _runs(ended, lambda part: part.newest_ms // HOUR_MS) if len(group) > 1]


def folds(day: str, parts: Sequence[Part], now_ms: int) -> list[list[Part]]:
    """Which parts of a day of requests become one file of minutes each."""
    if not is_to_fold(day, now_ms):
        return []
    groups = _runs(parts, lambda part: None)
    return [group for group in groups if len(group) > 1 or not all(part.folded for part in group)]


def _runs(parts: Sequence[Part], period: Callable[[Part], Hashable]) -> list[list[Part]]:
    """Neighbours of one period, as many as one file may hold.

    Where numbers are missing a run ends: one file across would say that it holds them.
    """
    found: list[list[Part]] = []
    for _, group in groupby(parts, period):
        run: list[Part] = []
        rows = 0
        for part in group:
            if run and (run[-1].last + 1 != part.first or rows + part.rows > MOST_ROWS):
                found.append(run)
                run, rows = [], 0
            run.append(part)
            rows += part.rows
        found.append(run)
    return found
