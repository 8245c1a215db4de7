"""Writing a recording, in one transaction a tick; the oldest minutes go when it would grow too large."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from zjops.domain.errors import FileUnavailable
from zjops.recording.changes import Changes
from zjops.recording.files import APPLICATION_ID, VERSION, Limits
from zjops.recording.statements import schema, statement

SAMPLE_MS = 1000
CAP_EVERY_MS = 5_000
MINUTE_MS = 60_000
KEPT = "pending", "processing", "completed", "failed"
"""The states in which a job waits for something."""


class Recorder:
    """The one writer of a recording; used by one thread at a time. Raises `FileUnavailable` when the disk refuses."""

    def __init__(self, path: Path, about: dict[str, str], limits: Limits | None = None) -> None:
        self.path, self.limits = path, limits or Limits()
        self._sampled = self._capped = 0
        self._bodies: dict[str, str] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._prepare(about)
        except (OSError, sqlite3.Error) as exc:
            raise FileUnavailable(f"recording {path} cannot be written ({exc})", "recording") from exc

    def _prepare(self, about: dict[str, str]) -> None:
        for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = OFF", "cache_size = -8000"):
            self._db.execute(f"PRAGMA {pragma}")
        if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._db.executescript(schema())
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.executemany("INSERT OR REPLACE INTO about (name, value) VALUES (?, ?)", about.items())
        # From here on the file itself says what it is, also while the journal holds all else.
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def write(self, changes: Changes, now_ms: int) -> None:
        """Put in what happened; once a second also how much waits where."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._put(changes)
            if now_ms - self._sampled >= SAMPLE_MS:
                self._sampled = now_ms
                self._sample(now_ms)
            if now_ms - self._capped >= CAP_EVERY_MS:
                self._capped = now_ms
                self._cap(now_ms)
            self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise FileUnavailable(f"recording {self.path} cannot be written ({exc})", "recording") from exc

    def _put(self, changes: Changes) -> None:
        run = self._db.executemany
        run(statement("put_job"), changes.jobs)
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

    def close(self) -> None:
        """End it as one whole file; safe twice."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            # A reader still holds it, or it is closed already: the next one who opens it takes the journal in.
            pass
        self._db.close()
