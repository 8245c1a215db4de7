"""The tables of a recording in one database: what happened goes in, and the oldest minutes go out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from zjops.recording.changes import Changes
from zjops.recording.files import Limits
from zjops.recording.merging import merged
from zjops.recording.statements import statement

SAMPLE_MS = 1000
CAP_EVERY_MS = 5_000
MINUTE_MS = 60_000
KEPT = "pending", "processing", "completed", "failed"
"""The states in which a job waits for something."""


class Tables:
    """Writes into a database, in one transaction a tick. Raises `sqlite3.Error`, and then nothing of it is in there."""

    def __init__(self, db: sqlite3.Connection, limits: Limits) -> None:
        self._db, self.limits = db, limits
        self._sampled = self._capped = 0
        self._bodies: dict[str, str] = {}

    def write(self, changes: Changes, now_ms: int) -> None:
        """Put in what happened; once a second also how much waits where."""
        try:
            with self._transaction():
                self._put(changes)
                if now_ms - self._sampled >= SAMPLE_MS:
                    self._sampled = now_ms
                    self._sample(now_ms)
                if now_ms - self._capped >= CAP_EVERY_MS:
                    self._capped = now_ms
                    self._cap(now_ms)
        except sqlite3.Error:
            # What was taken back was not the newest that is in there.
            self._bodies.clear()
            raise

    def put_all(self, name: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Put in rows of one kind, by the name of their statement."""
        with self._transaction():
            self._db.executemany(statement(name), rows)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _put(self, changes: Changes) -> None:
        run = self._db.executemany
        run(statement("put_job"), merged(changes.jobs))
        run(statement("add_second"), [(second, *counts) for second, counts in changes.seconds.items()])
        run(statement("put_batch"), changes.batches)
        run(statement("put_act"), changes.acts)
        run(statement("put_outage"), [(o.source, o.since, until, o.reason) for o, until in changes.outages])
        for key, sums in changes.requests.items():
            self._add_requests(key, sums)
        for kind, at_ms, body in changes.readings:
            if self._bodies.get(kind) != body:
                self._bodies[kind] = body
                self._db.execute(statement("put_reading"), (kind, at_ms, body))

    def _add_requests(self, key: tuple[int, str, str], sums: list[int]) -> None:
        """Rollups of a second come from several processes, and at different times."""
        before = self._db.execute(statement("requests_of"), key).fetchone()
        if before is not None:
            known = [*before[:6], *msgspec.json.decode(before[6], type=list[int])]
            sums = [a + b for a, b in zip(known, sums, strict=True)]
        histogram = msgspec.json.encode(sums[6:]).decode()
        self._db.execute(statement("put_requests"), (*key, *sums[:6], histogram))

    def _sample(self, now_ms: int) -> None:
        found = {state: (jobs, oldest) for state, jobs, oldest in self._db.execute(statement("open_jobs"))}
        rows = [(now_ms, state, *found.get(state, (0, None))) for state in KEPT]
        self._db.executemany(statement("put_depth"), rows)

    def live_bytes(self) -> int:
        """What the file holds, free pages not counted."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _cap(self, now_ms: int) -> None:
        """Drop the oldest minutes until both limits hold."""
        while True:
            oldest = self._db.execute(statement("oldest_minute")).fetchone()[0]
            if oldest is None or oldest + MINUTE_MS > now_ms:
                return
            late = oldest < now_ms - self.limits.hours * 3_600_000
            if not late and self.live_bytes() <= self.limits.bytes:
                return
            self._drop_until(oldest + MINUTE_MS)

    def _drop_until(self, cut: int) -> None:
        """Drop what lies before a moment; the newest reading of each kind stays, for it still holds."""
        run = self._db.execute
        first = run(statement("first_job_from"), (cut,)).fetchone()
        last = run(statement("last_job")).fetchone()[0]
        if last is not None:
            run("DELETE FROM jobs WHERE n < ?", (last + 1 if first is None else first[0],))
        run("DELETE FROM seconds WHERE second < ?", (cut // 1000,))
        run("DELETE FROM requests WHERE second < ?", (cut // 1000,))
        run("DELETE FROM depths WHERE at < ?", (cut,))
        run("DELETE FROM acts WHERE at < ?", (cut,))
        run("DELETE FROM batches WHERE final_at < ?", (cut,))
        run("DELETE FROM outages WHERE until < ?", (cut,))
        run(statement("drop_readings"), (cut,))
