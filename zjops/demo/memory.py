"""The peak of the memory that a tree of processes holds, sampled from beside it.

Proportional set size where the kernel tells it (pages that processes share count once in all), resident size elsewhere.
"""

from __future__ import annotations

import threading
from pathlib import Path

import psutil

EVERY_S = 0.25


def _bytes(process: psutil.Process) -> int:
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024
    except (OSError, ValueError, IndexError):
        try:
            return int(process.memory_info().rss)
        except psutil.Error:
            return 0


class PeakMemory:
    """Samples this process and all that it started until stopped; `peak` is in bytes."""

    def __init__(self) -> None:
        self.peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End, after one more sample."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        me = psutil.Process()
        while True:
            ended = self._ended.wait(EVERY_S)
            tree = [me]
            try:
                tree += me.children(recursive=True)
            except psutil.Error:
                continue
            self.peak = max(self.peak, sum(_bytes(process) for process in tree))
            if ended:
                return
