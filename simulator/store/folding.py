"""Folds a store's log into its file beside those that write, so that no commit has to.

SQLite would fold 30 MB in the middle of the commit that filled the log (`wal_autocheckpoint`), and whoever waited for
that commit waited for it too: 30 to 60 ms once a second under load. A checkpoint that is PASSIVE needs no lock that
writers need. But the log starts anew only when all of it lies in the file, and while that is done more is written: so
what came meanwhile follows at once, which is little, and mostly nothing comes before a writer begins again. Only where
that never works is it done under the lock. Source: SQLite, "Write-Ahead Logging", on checkpoints and starvation.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import NamedTuple

from simulator.store.connecting import BEGIN_PAUSE_S, connect

PAGES = 4_000
"""So much is folded at a time where it comes quickly: a page that changes often is written once, not each time."""
PAUSE_LEAST_S, PAUSE_MOST_S = 0.1, 1.0
FOLLOW_FROM, FOLLOWS = 5_000, 3
"""From so many pages on the log should start anew: what came meanwhile follows, so many times."""
LOCK_FROM, LOCK_TRIES = 20_000, 200
"""From so many on it must, with the lock; less than `connecting.CHECKPOINT_PAGES`, where a commit would have to."""


class Log(NamedTuple):
    """What a checkpoint said: whether something was in its way, pages in the log, and how many of them are folded."""

    busy: int
    pages: int
    folded: int


def pause_s(new_pages: int, seconds: float) -> float:
    """When to fold again, where so much came in that time."""
    return min(PAUSE_MOST_S, max(PAUSE_LEAST_S, PAGES * seconds / max(1, new_pages)))


class Folding:
    """A thread with a connection of its own. Several may be at work on one file; they keep out of each other's way."""

    def __init__(self, path: str) -> None:
        """Opens the file. Raises `sqlite3.Error`."""
        self._connection = connect(path)
        # Nothing here waits in the library: a stop would wait with it.
        self._connection.execute("PRAGMA busy_timeout=0")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store folding", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended; what is being folded is folded first."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(self._connection) as connection:
            wait_s, before = PAUSE_MOST_S, 0
            while not self._ended.wait(wait_s):
                try:
                    pages = self._fold(connection).pages
                except sqlite3.Error:
                    # A disk that is full or broken: the next commit says so, to those who wait for it.
                    wait_s = PAUSE_MOST_S
                    continue
                # Fewer than before: it has started anew meanwhile.
                wait_s, before = pause_s(pages - before if pages >= before else pages, wait_s), pages

    def _fold(self, connection: sqlite3.Connection) -> Log:
        """Fold what is there, then what came meanwhile, and only at last with the lock."""
        log = fold(connection, "PASSIVE")
        for _ in range(FOLLOWS if log.pages >= FOLLOW_FROM else 0):
            before, log = log.pages, fold(connection, "PASSIVE")
            if log.pages <= before:
                break
        if log.pages >= LOCK_FROM:
            for _ in range(LOCK_TRIES):
                log = fold(connection, "FULL")
                # Where somebody writes it does what it can, says that it was in the way, and may have been enough.
                if not log.busy or 0 <= log.pages < LOCK_FROM or self._ended.wait(BEGIN_PAUSE_S):
                    break
        return log


def fold(connection: sqlite3.Connection, how: str) -> Log:
    """One checkpoint, `PASSIVE` or `FULL`. Raises `sqlite3.Error`."""
    return Log(*connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone())
