"""How long this machine's disk kept everything waiting, by the kernel's own account.

A commit that is durable waits for the disk, and so does whoever waits for the commit. On a machine that others share a
disk stands still for a quarter of a second now and then, which no program of its can help: a run says how long.
Source: pressure stall information, Linux's Documentation/accounting/psi.rst: `full` is the time in which every task
that was not idle waited for it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PRESSURE = Path("/proc/pressure/io")
_FULL = re.compile(r"^full .*\btotal=(\d+)$", re.MULTILINE)


class Stalls(NamedTuple):
    """Seconds in which nothing went on for the disk's sake: in all, and the most between two looks."""

    total_s: float
    most_s: float


class DiskWatch:
    """Looks again and again."""

    def __init__(self, source: Path = PRESSURE) -> None:
        self._source = source
        self._first = self._last = _stalled_us(source)
        self._most_us = 0

    def look(self) -> None:
        """Take in what has come since the last look."""
        now = _stalled_us(self._source)
        if now is not None and self._last is not None:
            self._most_us = max(self._most_us, now - self._last)
        self._last = now

    def stalls(self) -> Stalls | None:
        """What was seen; None where the system does not tell."""
        if self._first is None or self._last is None:
            return None
        return Stalls((self._last - self._first) / 1e6, self._most_us / 1e6)


def _stalled_us(source: Path) -> int | None:
    try:
        found = _FULL.search(source.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None
