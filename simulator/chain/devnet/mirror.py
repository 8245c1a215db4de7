"""A key-value store mirrored into SQLite: everything since the last commit becomes durable in one transaction."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth.db.backends.base import BaseDB

from zjops.domain.errors import ChainUnavailable

CACHE_ENTRIES = 20_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pool (hash BLOB PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS controls (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS logs (
    block INTEGER NOT NULL, log_index INTEGER NOT NULL, address BLOB NOT NULL, topic0 BLOB, topic1 BLOB, topic2 BLOB,
    topic3 BLOB, data BLOB NOT NULL, tx_hash BLOB NOT NULL, tx_index INTEGER NOT NULL, PRIMARY KEY (block, log_index)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS logs_topics ON logs (address, topic0, topic1);
"""


class Mirror(BaseDB):  # type: ignore[misc]
    """A key-value store in SQLite; writes wait in memory until the block that they belong to is complete."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = (path.parent / "devnet.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ChainUnavailable(f"another devnet runs in {path.parent}") from None
        self.connection = sqlite3.connect(path, isolation_level=None)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-2000"):
                self.connection.execute(f"PRAGMA {pragma}")
            self.connection.executescript(_SCHEMA)
        except sqlite3.Error as exc:
            self.close()
            raise ChainUnavailable(f"chain database {path}: {exc}; start in a new folder with --home") from exc
        self._dirty: dict[bytes, bytes | None] = {}
        self._staged: list[tuple[str, list[tuple[Any, ...]]]] = []
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()

    def __getitem__(self, key: bytes) -> bytes:
        value = self._get(key)
        if value is None:
            raise KeyError(key)
        return value

    def _get(self, key: bytes) -> bytes | None:
        if key in self._dirty:
            return self._dirty[key]
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        row = self.connection.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        self._remember(key, row[0])
        return bytes(row[0])

    def _remember(self, key: bytes, value: bytes) -> None:
        self._cache[key] = value
        if len(self._cache) > CACHE_ENTRIES:
            self._cache.popitem(last=False)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._dirty[key] = value

    def __delitem__(self, key: bytes) -> None:
        self._dirty[key] = None
        self._cache.pop(key, None)

    def _exists(self, key: bytes) -> bool:
        return self._get(key) is not None

    def stage(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """A statement for the next commit, once for each row; they run in the order in which they were staged."""
        self._staged.append((sql, list(rows)))

    def commit(self) -> None:
        """Make everything since the last commit durable, with the statements staged for it."""
        kept = [(k, v) for k, v in self._dirty.items() if v is not None]
        gone = [(k,) for k, v in self._dirty.items() if v is None]
        run = self.connection
        try:
            run.execute("BEGIN IMMEDIATE")
            run.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?)", kept)
            run.executemany("DELETE FROM kv WHERE key = ?", gone)
            for sql, rows in self._staged:
                run.executemany(sql, rows)
            run.execute("COMMIT")
        except sqlite3.Error as exc:
            with contextlib.suppress(sqlite3.Error):
                run.execute("ROLLBACK")
            # What is in memory has run ahead of the file: the process ends and comes back at the file's last block.
            raise ChainUnavailable(f"chain database cannot be written: {exc}; free some space") from exc
        for key, value in kept:
            self._remember(key, value)
        self.discard()

    def discard(self) -> None:
        """Forget what was not committed."""
        self._dirty.clear()
        self._staged.clear()

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()
        self._lock.close()
