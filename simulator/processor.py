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


class Elsewhere:
    """While it is entered, this thread runs on others of these processors than before, and then there again.

    For whoever holds what others wait for: kept to a processor on which it has to wait for its turn, it would have
    those wait that have another to themselves. Where it is kept to one, it goes off that one: a thread that merely may
    go elsewhere is left waiting by Linux, unless a processor has nothing to do for a millisecond (up to 100 ms here).
    Where it has several, one of them will be free.
    """

    def __init__(self, processors: Iterable[int]) -> None:
        self._all = frozenset(processors)
        self._before: frozenset[int] = frozenset()

    def __enter__(self) -> None:
        self._before = mine()
        if self._before < self._all:
            self._keep_to(self._all - self._before if len(self._before) == 1 else self._all)

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
