"""SQLite behind the Store port: one writer that groups commits, WAL, synchronous=FULL (C82)."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from simulator.store.connecting import (
    SCHEMA_VERSION,
    begin_patiently,
    begun_soon,
    check_version,
    connect,
    connect_patiently,
    limit_pages,
    translate,
)  # fmt: skip
from simulator.store.folding import Folding
from simulator.store.port import Row, T, Work
from simulator.store.queries import queries, schema
from simulator.store.sharing import Sharing
from zjops.domain.errors import StoreUnavailable

GROUP_ROWS = 500
"""How many transactions may share one commit."""
READERS = 2
COMMITS_SEEN, QUICKER_ONES, STALLED = 9, 2, 10
"""Where the disk is quick, a thread would take longer than it. Of the last commits the third quickest counts, for what
a thread took holds its wait for the interpreter's lock as well; and none may have stalled, so many times as long."""
_Job = tuple[Work[Any], "asyncio.Future[Any]"]
_Read = tuple[Work[Any], "Future[Any]"]


_columns: dict[str, list[str]] = {}
"""The columns of each query that was asked: the schema is fixed, so they are worked out once."""


class SqliteTx:
    """Named statements on one connection, inside a transaction that the adapter opened."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._sql = queries()

    def all(self, query: str, /, **params: Any) -> list[Row]:
        cursor = self._connection.execute(self._sql[query], params)
        rows = cursor.fetchall()
        if not rows:
            return rows
        columns = _columns.get(query) or _note_columns(query, cursor)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def one(self, query: str, /, **params: Any) -> Row | None:
        cursor = self._connection.execute(self._sql[query], params)
        row = cursor.fetchone()
        if row is None:
            return None
        return dict(zip(_columns.get(query) or _note_columns(query, cursor), row, strict=True))

    def run(self, query: str, /, **params: Any) -> int:
        return self._connection.execute(self._sql[query], params).rowcount

    def many(self, query: str, /, rows: Sequence[dict[str, Any] | tuple[Any, ...]]) -> int:
        return self._connection.executemany(self._sql[query], rows).rowcount


def _note_columns(query: str, cursor: sqlite3.Cursor) -> list[str]:
    found = _columns[query] = [column[0] for column in cursor.description]
    return found


class MemorySqliteStore:
    """SQLite in memory, run in the caller's own step: for virtual time, where order must not depend on threads.

    `fault` is raised by everything that is asked of it, as a store would that is away.
    """

    fault: Exception | None = None

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None

    async def start(self) -> None:
        if self._connection is None:
            self._connection = connect(":memory:")
            self._connection.executescript(schema())

    async def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ready(self) -> sqlite3.Connection:
        if self.fault is not None:
            raise self.fault
        if self._connection is None:
            raise StoreUnavailable("the store is not started")
        return self._connection

    async def transact(self, work: Work[T]) -> T:
        connection = self._ready()
        connection.execute("BEGIN")
        try:
            value = work(SqliteTx(connection))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return value

    async def read(self, work: Work[T]) -> T:
        return work(SqliteTx(self._ready()))


class SqliteStore:
    """A SQLite file shared by several processes: transactions that wait together share one commit.

    What may wait long, the lock of another process and the fsync of a slow disk, happens in a thread; the statements
    themselves run in the loop. In a thread they would give up and fight for the interpreter's lock with every row,
    which costs more than they do (measured: 80 of 280 microseconds a submission). A lock that is free is taken in the
    loop as well: one that was taken in a thread lies unused until the loop has heard of it. A commit stays there too
    while the disk is quick: 0.3 ms here, for which a thread needed 1.1 and, one time in ten, 4.9.
    """

    def __init__(self, path: Path, sharing: Sharing | None = None) -> None:
        self._path, self._sharing = path, sharing or Sharing()
        self._waiting: list[_Job] = []
        self._runner: asyncio.Task[None] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._reads: queue.SimpleQueue[_Read | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._folding: Folding | None = None
        self._took: deque[float] = deque(maxlen=COMMITS_SEEN)
        self._changes = -1
        self.before_commit: Callable[[], None] | None = None
        """Called in the writer's thread, with the lock held, before what has changed is committed: it may take long."""

    async def start(self) -> None:
        if self._writer is not None:
            return
        await asyncio.to_thread(self._create)
        self._writer = ThreadPoolExecutor(1, "store writer")
        self._threads = [threading.Thread(target=self._read_loop, name="store", daemon=True) for _ in range(READERS)]
        for thread in self._threads:
            thread.start()

    def _create(self) -> None:
        try:
            connection = connect_patiently(str(self._path))
            try:
                self._path.chmod(0o600)
                check_version(connection)
                # One transaction: another process that opens the same file sees all of it or nothing.
                connection.executescript(
                    f"BEGIN IMMEDIATE;\n{schema()}\nPRAGMA user_version={SCHEMA_VERSION};\nCOMMIT;"
                )
                # From here on the only wait is for the lock to write, and we do that ourselves.
                connection.execute("PRAGMA busy_timeout=0")
                if self._sharing.folds:
                    self._folding = Folding(str(self._path))
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as exc:
            error = exc if isinstance(exc, sqlite3.Error) else sqlite3.OperationalError(f"unable to open: {exc}")
            raise translate(error, str(self._path)) from exc
        self._connection = connection

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner
        threads, self._threads = self._threads, []
        folding, self._folding = self._folding, None
        if folding is not None:
            await asyncio.to_thread(folding.stop)
        for _ in threads:
            self._reads.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        writer, self._writer = self._writer, None
        connection, self._connection = self._connection, None
        if writer is not None and connection is not None:
            await asyncio.get_running_loop().run_in_executor(writer, connection.close)
            writer.shutdown()

    async def limit_pages(self, more: int | None) -> None:
        """Let the file grow by so many pages and no further; None for as far as it likes. Only of this process."""
        connection = self._connection
        if connection is not None and self._writer is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, limit_pages, connection, more)

    async def transact(self, work: Work[T]) -> T:
        if self._writer is None:
            raise StoreUnavailable("the store is not started")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="store groups")
        return await future

    async def read(self, work: Work[T]) -> T:
        if not self._threads:
            raise StoreUnavailable("the store is not started")
        future: Future[T] = Future()
        self._reads.put((work, future))
        return await asyncio.wrap_future(future)

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP_ROWS], self._waiting[GROUP_ROWS:]
                await self._commit_group(group)
        finally:
            self._runner = None

    async def _commit_group(self, group: list[_Job]) -> None:
        """Run each work so that it can be undone by itself, commit once, then tell everyone."""
        connection, loop = self._connection, asyncio.get_running_loop()
        assert connection is not None
        told: list[tuple[Any, BaseException | None]] = []
        try:
            if not begun_soon(connection, self._sharing.stands_s):
                await loop.run_in_executor(self._writer, begin_patiently, connection)
            run, quick = self._alone if len(group) == 1 else self._in_savepoint, self._quick()
            with self._sharing.hurry:
                for work, _ in group:
                    told.append(run(connection, work))
                if quick and connection.in_transaction:
                    self._commit(connection)
            if connection.in_transaction:
                await loop.run_in_executor(self._writer, self._commit, connection)
        except BaseException as exc:  # nothing of the group is durable
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            error = self._foreign(exc)
            told = [(None, error)] * len(group)
            if not isinstance(exc, Exception):
                _tell(group, told)
                raise
        _tell(group, told)

    def _quick(self) -> bool:
        if self.before_commit is not None:
            return False
        took = sorted(self._took)
        quick_s = self._sharing.quick_s
        return len(took) == COMMITS_SEEN and took[QUICKER_ONES] < quick_s and took[-1] < STALLED * quick_s

    def _commit(self, connection: sqlite3.Connection) -> None:
        began, changes, wait = time.perf_counter(), connection.total_changes, self.before_commit
        if wait is not None and changes != self._changes:
            wait()
        connection.execute("COMMIT")
        # One that changed nothing says nothing of the disk.
        if changes != self._changes:
            self._changes = changes
            self._took.append(time.perf_counter() - began)

    def _read_loop(self) -> None:
        connection = connect(str(self._path))
        while (one := self._reads.get()) is not None:
            self._snapshot(connection, *one)
        connection.close()

    def _snapshot(self, connection: sqlite3.Connection, work: Work[Any], future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            # Whoever asked has gone away.
            return
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

    def _alone(self, connection: sqlite3.Connection, work: Work[Any]) -> tuple[Any, BaseException | None]:
        """What has a transaction to itself needs no savepoint, for which each page that it changes would be copied."""
        try:
            return work(SqliteTx(connection)), None
        except BaseException as exc:  # it belongs to the caller
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK")
            return None, self._foreign(exc)

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
            return translate(exc, str(self._path))
        return exc


def _tell(group: list[_Job], told: list[tuple[Any, BaseException | None]]) -> None:
    """Hand each caller what became of its work; one that has gone away is not told."""
    for (_, future), (value, error) in zip(group, told, strict=True):
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
