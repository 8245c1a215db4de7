"""How a process shares the processor with the others of the platform."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

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
