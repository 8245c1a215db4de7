"""How a process shares the processor with the others of the platform."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from zjops.domain.processors import mine

AUTOGROUP = Path("/proc/self/autogroup")
TRIES, AGAIN_S = 5, 0.12


def go_last(nice: int) -> None:
    """Let the others go first.

    Where the kernel shares the processor out among sessions (Linux's sched_autogroup, see sched(7)), `nice` counts
    only inside of one. A role has its own, so that the session as a whole has to be nice.
    """
    os.nice(nice)
    with contextlib.suppress(OSError):
        for _ in range(TRIES):
            with contextlib.suppress(BlockingIOError):
                AUTOGROUP.write_text(str(nice))
                return
            # Without privileges it may be changed ten times a second, by all of the machine together.
            threading.Event().wait(AGAIN_S)


class Anywhere:
    """While it is entered, this thread may run on any of these processors, and then again where it might before.

    For whoever holds what others wait for: kept to a processor on which it has to wait for its turn, it would have
    those wait that have another to themselves.
    """

    def __init__(self, processors: Iterable[int]) -> None:
        self._all = frozenset(processors)
        self._before: frozenset[int] = frozenset()

    def __enter__(self) -> None:
        self._before = mine()
        if self._before < self._all:
            self._keep_to(self._all)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before < self._all:
            self._keep_to(self._before)

    @staticmethod
    def _keep_to(processors: frozenset[int]) -> None:
        # One that was taken away from the machine meanwhile is no reason to fail.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, processors)
