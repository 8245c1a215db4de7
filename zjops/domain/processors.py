"""How programs share a small machine's processors: the first are left to the processes that somebody waits for.

A scheduler that is fair to all lets a request wait for whatever else is at work, a few milliseconds at each of its
steps. With a processor that the others stay away from it waits for none of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


def mine() -> frozenset[int]:
    """The processors that this process may use now; none where the system does not say (sched_getaffinity(2))."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


def beside(usable: Iterable[int], answering: int = 1) -> frozenset[int]:
    """What remains of these for all others, with so many processes that answer; all of them, where none would."""
    every = sorted(usable)
    return frozenset(every[answering:] or every)


def keep_to(processors: Iterable[int], pid: int) -> None:
    """Have a process, with each of its threads, run on these alone; what it starts later does so too.

    A process that has ended, or is another's, is left as it is.
    """
    chosen = set(processors)
    try:
        threads = [int(one.name) for one in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return
    for thread in threads:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(thread, chosen)
