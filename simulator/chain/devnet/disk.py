"""The devnet's file: py-evm's key-value store in SQLite, written once per block, so that half a block cannot appear.

What a block writes stays in memory until `commit`; a killed process comes back with the last whole block. One process
at a time: the folder is locked with `flock`, which the system releases however its holder ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from eth.db.backends.base import BaseDB

from zjops.domain.errors import ChainUnavailable, UsageError

FORMAT = 1
SCHEMA = Path(__file__).with_name("schema.sql")
PLAIN, PACKED = b"\0", b"\1"
COMMON = bytes(256) + bytes.fromhex(
    "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
    "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
)
"""What headers and accounts repeat: the empty bloom, the hashes of no uncles, of an empty trie and of no code."""


def pack(value: bytes) -> bytes:
    """Deflate a value against `COMMON` where that makes it shorter: an empty block's header takes a third."""
    press = zlib.compressobj(level=1, wbits=-15, zdict=COMMON)
    packed = press.compress(value) + press.flush()
    return PACKED + packed if len(packed) < len(value) else PLAIN + value


def unpack(stored: bytes) -> bytes:
    """The inverse of `pack`."""
    if stored[:1] == PLAIN:
        return stored[1:]
    return zlib.decompressobj(wbits=-15, zdict=COMMON).decompress(stored[1:])


@contextlib.contextmanager
def _translating(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise ChainUnavailable(
            f"the chain's file {path} cannot be used ({exc}); free or repair the disk, or start in a new folder"
        ) from exc


class Disk(BaseDB):
    """A key-value store of bytes over `home/chain/devnet.sqlite`.

    Raises `UsageError` when another process holds the folder or the file is of another chain, `ChainUnavailable` when
    it cannot be read or written. Used by one thread at a time.
    """

    def __init__(self, home: Path, chain_id: int) -> None:
        folder = home / "chain"
        self._path = folder / "devnet.sqlite"
        self._changed: dict[bytes, bytes | None] = {}
        with _translating(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / "devnet.lock")
        try:
            with _translating(self._path):
                self._db = self._open()
                self._check("format", FORMAT)
                self._check("chain_id", chain_id)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        # Also a power cut takes back no block: a lost one would look like a deep reorganisation.
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(SCHEMA.read_text())
        return db

    def _check(self, name: str, expected: int) -> None:
        self._db.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (name, expected))
        (found,) = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        if found != expected:
            raise UsageError(f"{self._path} has {name} {found}, wanted is {expected}; start in a new folder")

    def close(self) -> None:
        """Give up the file and the folder; what was not committed is forgotten."""
        self._db.close()
        os.close(self._lock)

    def __getitem__(self, key: bytes) -> bytes:
        if key in self._changed:
            value = self._changed[key]
            if value is None:
                raise KeyError(key)
            return value
        with _translating(self._path):
            row = self._db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return unpack(row[0])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._changed[key] = value

    def __delitem__(self, key: bytes) -> None:
        self._changed[key] = None

    def _exists(self, key: bytes) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    def discard(self) -> None:
        """Forget what was not committed."""
        self._changed.clear()

    def commit(self, block: int, marks: Iterable[bytes] = (), done: Iterable[bytes] = ()) -> None:
        """Write a whole block: its entries, the marks of its logs, and what it took out of the pool."""
        stored = [(key, pack(value)) for key, value in self._changed.items() if value is not None]
        gone = [(key,) for key, value in self._changed.items() if value is None]
        with _translating(self._path), self._transaction() as db:
            db.executemany("REPLACE INTO entries VALUES (?, ?)", stored)
            db.executemany("DELETE FROM entries WHERE key = ?", gone)
            db.executemany("INSERT OR IGNORE INTO marks VALUES (?, ?)", [(mark, block) for mark in marks])
            db.executemany("DELETE FROM waiting WHERE hash = ?", [(item,) for item in done])
        self._changed.clear()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def keep_waiting(self, tx_hash: bytes, raw: bytes, gone: Iterable[bytes]) -> None:
        """Remember an accepted transaction over a crash, and forget those that it takes the place of."""
        with _translating(self._path), self._transaction() as db:
            db.executemany("DELETE FROM waiting WHERE hash = ?", [(item,) for item in gone])
            db.execute("INSERT OR IGNORE INTO waiting (hash, raw) VALUES (?, ?)", (tx_hash, raw))

    def drop_waiting(self, gone: Iterable[bytes]) -> None:
        """Forget transactions that can never be mined."""
        with _translating(self._path), self._transaction() as db:
            db.executemany("DELETE FROM waiting WHERE hash = ?", [(item,) for item in gone])

    def waiting(self) -> list[tuple[bytes, bytes]]:
        """Hash and bytes of the transactions that wait, in order of arrival."""
        with _translating(self._path):
            return self._db.execute("SELECT hash, raw FROM waiting ORDER BY place").fetchall()

    def marked(self, groups: Sequence[Sequence[bytes]], first: int, last: int) -> list[int]:
        """The blocks from `first` to `last` that hold, for every group, at least one of its marks; ascending."""
        parts, values = [], []
        for group in groups:
            places = ", ".join("?" * len(group))
            parts.append(f"SELECT block FROM marks WHERE mark IN ({places}) AND block BETWEEN ? AND ?")  # noqa: S608
            values += [*group, first, last]
        with _translating(self._path):
            rows = self._db.execute(" INTERSECT ".join(parts) + " ORDER BY block", values).fetchall()
        return [block for (block,) in rows]


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise UsageError(
            f"the chain in {path.parent} is run by another process ({holder or 'unknown'}); stop it or choose another"
            " folder with --home"
        ) from exc
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
