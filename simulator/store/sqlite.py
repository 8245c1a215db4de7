"""SQLite behind the Store port: one writer that groups commits, WAL, synchronous=FULL (C82)."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

from simulator.store.port import Row, T, Work
from simulator.store.queries import queries, schema
from zjops.domain.errors import StoreUnavailable

GROUP_ROWS = 500
"""How many transactions may share one commit."""
BUSY_TIMEOUT_MS = 30_000
READERS = 2

_Job = tuple[Work[Any], "Future[Any]"]


class SqliteTx:
    """Named statements on one connection, inside a transaction that the adapter opened."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = queries()

    def all(self, query: str, /, **params: Any) -> list[Row]:
        return self._connection.execute(self._sql[query], params).fetchall()

    def one(self, query: str, /, **params: Any) -> Row | None:
        row: Row | None = self._connection.execute(self._sql[query], params).fetchone()
        return row

    def run(self, query: str, /, **params: Any) -> int:
        return self._connection.execute(self._sql[query], params).rowcount

    def many(self, query: str, /, rows: list[dict[str, Any]]) -> None:
        self._connection.executemany(self._sql[query], rows)


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _translate(exc: sqlite3.Error, path: str) -> StoreUnavailable:
    """What SQLite says, as a line for people."""
    text = str(exc)
    if "malformed" in text or "not a database" in text:
        hint = "the file is damaged; restore a copy or start in a new folder with --home"
    elif "readonly" in text or "unable to open" in text:
        hint = "the folder cannot be written; check its rights or choose another with --home"
    elif "full" in text:
        hint = "the disk is full; free some space and start again"
    else:
        hint = "try again"
    return StoreUnavailable(f"store {path}: {text}; {hint}")


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = _as_dict
    try:
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class MemorySqliteStore:
    """SQLite in memory, run in the caller's own step: for virtual time, where order must not depend on threads."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None

    async def start(self) -> None:
        if self._connection is None:
            self._connection = _connect(":memory:")
            self._connection.executescript(schema())

    async def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def transact(self, work: Work[T]) -> T:
        if self._connection is None:
            raise StoreUnavailable("the store is not started")
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            value = work(SqliteTx(self._connection))
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return value

    async def read(self, work: Work[T]) -> T:
        if self._connection is None:
            raise StoreUnavailable("the store is not started")
        return work(SqliteTx(self._connection))


class SqliteStore:
    """A SQLite file shared by several processes: a writer thread that groups commits, and a few readers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writes: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def start(self) -> None:
        if self._threads:
            return
        await asyncio.to_thread(self._create)
        targets = [self._write_loop] + [self._read_loop] * READERS
        self._threads = [threading.Thread(target=t, name="store", daemon=True) for t in targets]
        for thread in self._threads:
            thread.start()

    def _create(self) -> None:
        try:
            with closing(_connect(str(self._path))) as connection:
                self._path.chmod(0o600)
                connection.executescript(schema())
        except (sqlite3.Error, OSError) as exc:
            error = exc if isinstance(exc, sqlite3.Error) else sqlite3.OperationalError(f"unable to open: {exc}")
            raise _translate(error, str(self._path)) from exc

    async def stop(self) -> None:
        threads, self._threads = self._threads, []
        if threads:
            self._writes.put(None)
            for _ in range(READERS):
                self._reads.put(None)
            for thread in threads:
                await asyncio.to_thread(thread.join)

    async def transact(self, work: Work[T]) -> T:
        return await self._submit(self._writes, work)

    async def read(self, work: Work[T]) -> T:
        return await self._submit(self._reads, work)

    async def _submit(self, to: queue.SimpleQueue[_Job | None], work: Work[T]) -> T:
        if not self._threads:
            raise StoreUnavailable("the store is not started")
        future: Future[T] = Future()
        to.put((work, future))
        # Shielded: a caller that goes away must not leave a commit half told.
        return await asyncio.shield(asyncio.wrap_future(future))

    def _write_loop(self) -> None:
        self._loop(self._writes, self._commit_group, GROUP_ROWS)

    def _read_loop(self) -> None:
        self._loop(self._reads, self._snapshot, 1)

    def _loop(
        self,
        jobs: queue.SimpleQueue[_Job | None],
        handle: Callable[[sqlite3.Connection, list[_Job]], None],
        most: int,
    ) -> None:
        connection = _connect(str(self._path))
        while (first := jobs.get()) is not None:
            group = [first]
            while len(group) < most and not jobs.empty():
                following = jobs.get()
                if following is None:
                    jobs.put(None)
                    break
                group.append(following)
            handle(connection, group)
        connection.close()

    def _snapshot(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        for work, future in group:
            try:
                connection.execute("BEGIN")
                value = work(SqliteTx(connection))
            except BaseException as exc:  # it belongs to the caller
                future.set_exception(self._foreign(exc))
            else:
                future.set_result(value)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _commit_group(self, connection: sqlite3.Connection, group: list[_Job]) -> None:
        """Run each work in its own savepoint, commit once, then tell everyone."""
        told: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, future in group:
                told.append((future, *self._in_savepoint(connection, work)))
            connection.execute("COMMIT")
        except BaseException as exc:  # nothing of the group is durable
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for _, future in group:
                future.set_exception(self._foreign(exc))
            return
        for future, value, error in told:
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _in_savepoint(self, connection: sqlite3.Connection, work: Work[Any]) -> tuple[Any, BaseException | None]:
        connection.execute("SAVEPOINT work")
        try:
            value = work(SqliteTx(connection))
        except BaseException as exc:  # it belongs to the caller
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
            return None, self._foreign(exc)
        connection.execute("RELEASE work")
        return value, None

    def _foreign(self, exc: BaseException) -> BaseException:
        if isinstance(exc, sqlite3.OperationalError | sqlite3.DatabaseError) and not isinstance(
            exc, sqlite3.IntegrityError | sqlite3.ProgrammingError
        ):
            return _translate(exc, str(self._path))
        return exc
