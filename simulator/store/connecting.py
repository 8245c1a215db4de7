"""Connections to a SQLite file that several processes share: how they are opened, and how they begin to write."""

from __future__ import annotations

import sqlite3
import threading
import time

from simulator.store.queries import queries
from zjops.domain.errors import StoreUnavailable

BUSY_TIMEOUT_MS = 30_000
CONNECT_TRIES, CONNECT_PAUSE_S = 100, 0.05
BEGIN_PAUSE_S, BEGIN_PAUSE_MOST_S = 0.0005, 0.003
STAND_PAUSE_S = 0.0003
CHECKPOINT_PAGES = 32_000
"""128 MB of log before a commit folds it into the file: where nobody else does (`simulator.store.folding`)."""
PAGES_MOST = 4_294_967_294
"""SQLite's own bound of a file."""
SCHEMA_VERSION = 8
OTHER_VERSION = "made by another version of this program"


def translate(exc: sqlite3.Error, path: str) -> StoreUnavailable:
    """What SQLite says, as a line for people."""
    text = str(exc)
    if OTHER_VERSION in text:
        hint = "start in a new folder with --home"
    elif "malformed" in text or "not a database" in text:
        hint = "the file is damaged; restore a copy or start in a new folder with --home"
    elif "readonly" in text or "unable to open" in text:
        hint = "the folder cannot be written; check its rights or choose another with --home"
    elif "full" in text:
        hint = "the disk is full; free some space and start again"
    else:
        hint = "try again"
    return StoreUnavailable(f"store {path}: {text}; {hint}")


def connect(path: str) -> sqlite3.Connection:
    """A connection as all of this platform's are; what it waits for, it waits for by itself. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=2 * len(queries())
    )  # fmt: skip
    try:
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            # What a savepoint could have to take back would go to a file otherwise, a page at a time.
            "temp_store=MEMORY",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_patiently(path: str) -> sqlite3.Connection:
    """Connect while others do: turning the log on is the one step for which SQLite does not wait by itself."""
    for left in range(CONNECT_TRIES - 1, -1, -1):
        try:
            return connect(path)
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or not left:
                raise
            threading.Event().wait(CONNECT_PAUSE_S)
    raise AssertionError("unreachable")


def begin_patiently(connection: sqlite3.Connection) -> None:
    """Begin a transaction that writes, as soon as nobody else does. Raises `sqlite3.OperationalError` after a while.

    SQLite's own handler sleeps longer each time, up to 100 ms, while the lock changes hands many times.
    """
    until, pause = time.monotonic() + BUSY_TIMEOUT_MS / 1000, BEGIN_PAUSE_S
    while not begun_at_once(connection, last=time.monotonic() >= until):
        time.sleep(pause)  # noqa: TID251 - another process lets go of a lock without a signal
        pause = min(BEGIN_PAUSE_MOST_S, 1.5 * pause)


def begun_soon(connection: sqlite3.Connection, within_s: float) -> bool:
    """Whether it began within this time, for which the calling thread stands still and leaves its processor to others.

    Whoever holds the lock may be kept from going on by the very thread that waits for it: one that others go before
    holds what one of those wants (priority inversion). Standing still gives it the time that it needs.
    """
    until = time.monotonic() + within_s
    while not (begun := begun_at_once(connection)) and time.monotonic() < until:
        time.sleep(STAND_PAUSE_S)  # noqa: TID251 - another process lets go of a lock without a signal
    return begun


def begun_at_once(connection: sqlite3.Connection, *, last: bool = False) -> bool:
    """Whether nobody else writes now; the last time that is an error. The connection does not wait by itself."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as exc:
        if last or exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def check_version(connection: sqlite3.Connection) -> None:
    """Raises `sqlite3.DatabaseError` for a store that another version made."""
    version, tables = connection.execute(
        "SELECT user_version, (SELECT count(*) FROM sqlite_master) FROM pragma_user_version"
    ).fetchone()
    if tables and version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"{OTHER_VERSION} ({version}, here {SCHEMA_VERSION})")


def limit_pages(connection: sqlite3.Connection, more: int | None) -> None:
    """Let the file grow by so many pages and no further; None for as far as it likes."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={PAGES_MOST if more is None else pages + more}")
