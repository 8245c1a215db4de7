"""The store in memory for virtual time: SQLite, with the two busiest tables kept as plain values before it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from simulator.store.hot_jobs import HotJobs
from simulator.store.hot_outbox import HotOutbox
from simulator.store.port import Row, T, Work
from simulator.store.queries import touching, writing
from simulator.store.sqlite import MemorySqliteStore, SqliteTx


class MemoryTx:
    """Named statements, some of them on plain values."""

    __slots__ = ("_sql", "_store")

    def __init__(self, store: MemoryStore, connection: sqlite3.Connection) -> None:
        self._store, self._sql = store, SqliteTx(connection)

    def all(self, query: str, /, **params: Any) -> list[Row]:
        known = self._store.reads.get(query)
        if known is not None:
            rows: list[Row] | None = known(**params)
            if rows is not None:
                return rows
        with self._store.level(query):
            return self._sql.all(query, **params)

    def one(self, query: str, /, **params: Any) -> Row | None:
        rows = self.all(query, **params) if query in self._store.reads else None
        if rows is not None:
            return rows[0] if rows else None
        with self._store.level(query):
            return self._sql.one(query, **params)

    def run(self, query: str, /, **params: Any) -> int:
        known = self._store.runs.get(query)
        if known is not None:
            return int(known(**params))
        with self._store.level(query):
            return self._sql.run(query, **params)

    def many(self, query: str, /, rows: Sequence[dict[str, Any] | tuple[Any, ...]]) -> int:
        if not rows:
            return 0
        known = self._store.manys.get(query)
        if known is not None:
            return int(known(rows))
        with self._store.level(query):
            return self._sql.many(query, rows)


class _Level:
    """Around a statement that SQLite has to answer: what it asks for is brought there before, and read back after."""

    __slots__ = ("_query", "_store")

    def __init__(self, store: MemoryStore, query: str) -> None:
        self._store, self._query = store, query

    def __enter__(self) -> None:
        self._store.flush(self._query)

    def __exit__(self, *exc: object) -> None:
        self._store.reload(self._query)


_OUTBOX = touching("outbox") | touching("outbox_marks")


class MemoryStore(MemorySqliteStore):
    """The Store port in memory, quick enough to play a month in minutes.

    `anchors` is False where no relayer works on it: jobs then leave the plain values once they have ended.
    """

    def __init__(self, *, anchors: bool = True) -> None:
        super().__init__()
        self._anchors = anchors
        self._outbox = HotOutbox()
        self._jobs: HotJobs | None = None
        self._named = touching("jobs") | _OUTBOX
        self.reads: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.manys: dict[str, Any] = {}

    async def start(self) -> None:
        await super().start()
        if self._jobs is None:
            outbox, jobs = self._outbox, HotJobs(self._ready(), anchors=self._anchors)
            self._jobs = jobs
            self.reads, self.runs = outbox.reads | jobs.reads, outbox.runs | jobs.runs
            self.manys = outbox.many | jobs.many

    async def stop(self) -> None:
        await super().stop()
        # What was in memory is gone: another start begins with nothing, as SQLite does.
        self._outbox, self._jobs = HotOutbox(), None

    async def transact(self, work: Work[T]) -> T:
        connection, jobs = self._ready(), self._jobs
        assert jobs is not None
        jobs.begin()
        self._outbox.begin()
        connection.execute("BEGIN")
        try:
            value = work(MemoryTx(self, connection))
        except BaseException:
            connection.execute("ROLLBACK")
            self._outbox.roll_back()
            jobs.roll_back()
            raise
        connection.execute("COMMIT")
        jobs.commit()
        return value

    async def read(self, work: Work[T]) -> T:
        return work(MemoryTx(self, self._ready()))

    def level(self, query: str) -> _Level | _Nothing:
        """What has to stand around a statement."""
        return _Level(self, query) if query in self._named else _NOTHING

    def flush(self, query: str) -> None:
        """Bring the tables up to date that a statement names."""
        assert self._jobs is not None
        if query in touching("jobs"):
            self._jobs.flush()
        if query in _OUTBOX:
            self._outbox.flush(self._ready())

    def reload(self, query: str) -> None:
        """Read back the tables that a statement has written."""
        assert self._jobs is not None
        if query in writing() & touching("jobs"):
            self._jobs.reload()
        if query in writing() & _OUTBOX:
            self._outbox.reload(self._ready())


class _Nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc: object) -> None:
        return None


_NOTHING = _Nothing()
