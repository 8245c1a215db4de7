"""How programs share a small machine's processors: the first are left to the processes that somebody waits for.

A scheduler that is fair to all lets a request wait for whatever else is at work, a few milliseconds at each of its
steps. With a processor that the others stay away from it waits for none of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The number of the system call, for which neither Python nor the C library has a name."""


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
    chosen, moved = set(processors), set[int]()
    # Once more until nothing is new: a thread that began meanwhile may be the child of one that was not moved yet.
    while new := _threads(pid) - moved:
        for thread in new:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(thread, chosen)
        moved |= new


def _threads(pid: int) -> set[int]:
    try:
        return {int(one.name) for one in Path(f"/proc/{pid}/task").iterdir()}
    except OSError:
        return set()


def in_short_turns(seconds: float = 0.0001) -> bool:
    """Have this thread run as soon as it has something to do, for so long at a time, and not more in sum than others.

    Source: sched_setattr(2); since Linux 6.12 a thread that asks for shorter turns comes before one that is in the
    middle of a longer one. False where the system does not know it.
    """
    number = _SCHED_SETATTR.get(platform.machine()) if sys.platform == "linux" else None
    if number is None:
        return False
    # struct sched_attr: its size, policy, flags, nice, priority, runtime (ns), deadline, period, two clamps.
    asked = struct.pack("=IIQiIQQQII", 56, 0, 0, os.getpriority(os.PRIO_PROCESS, 0), 0, int(seconds * 1e9), 0, 0, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, asked, 0) == 0)
