"""Sleeps to within some microseconds: gevent's own timers wake at whole milliseconds, which would all be lag."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import gevent
from gevent.hub import get_hub

CLOCK_MONOTONIC = 1
NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
BILLION = 1_000_000_000
READ = 1
LEAST_S = 0.0005
"""Shorter sleeps would wake for each of many arrivals, which costs more than half a millisecond of lag is worth."""


class _Spec(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (
        ("interval_s", ctypes.c_long), ("interval_ns", ctypes.c_long), ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )  # fmt: skip


class Timer:
    """The kernel's timer behind a file descriptor; gevent's where the system has none."""

    def __init__(self) -> None:
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        create = getattr(self._libc, "timerfd_create", None)
        self._fd: int = create(CLOCK_MONOTONIC, NONBLOCK_CLOEXEC) if create else -1
        self._watcher = get_hub().loop.io(self._fd, READ) if self._fd >= 0 else None
        self._spec = _Spec()

    def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        if self._watcher is None:
            gevent.sleep(seconds)
            return
        self._spec.value_s, self._spec.value_ns = divmod(int(max(seconds, LEAST_S) * BILLION), BILLION)
        if self._libc.timerfd_settime(self._fd, 0, ctypes.byref(self._spec), None):
            gevent.sleep(seconds)
            return
        get_hub().wait(self._watcher)
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the timer back; safe twice."""
        if self._watcher is not None:
            self._watcher.close()
            os.close(self._fd)
            self._watcher, self._fd = None, -1
