"""Writing a recording, in one transaction a tick; while the disk refuses, what comes is shown from memory."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from zjops.domain.errors import FileUnavailable
from zjops.recording.changes import Changes
from zjops.recording.files import APPLICATION_ID, VERSION, Limits
from zjops.recording.reader import Recording
from zjops.recording.standin import StandIn
from zjops.recording.statements import schema
from zjops.recording.tables import Tables


class Recorder:
    """The one writer of a recording; used by one thread at a time. Raises `FileUnavailable` when the disk refuses.

    `reader` is who shows it in this process, if anybody does.
    """

    def __init__(self, path: Path, about: dict[str, str], limits: Limits | None = None) -> None:
        self.path, self.limits = path, limits or Limits()
        self.reader: Recording | None = None
        self._stand_in: StandIn | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._prepare(about)
        except (OSError, sqlite3.Error) as exc:
            raise FileUnavailable(f"recording {path} cannot be written ({exc})", "recording") from exc
        self._tables = Tables(self._db, self.limits)

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
            self._tables.write(changes, now_ms)
        except sqlite3.Error as exc:
            shown = "" if self.reader is None else "; what is shown comes from memory until it can be"
            raise FileUnavailable(f"recording {self.path} cannot be written ({exc}){shown}", "recording") from exc
        self._catch_up(changes.cut)
        self._let_go()

    def hold(self, changes: Changes, now_ms: int) -> None:
        """Show what the disk has refused, and has to be given once more, from memory meanwhile."""
        if self.reader is None:
            return
        if self._stand_in is None:
            # It takes seconds of a large recording, and until it is whole the file can be read.
            self._stand_in = StandIn(self.path, now_ms, self.limits)
        with self.reader.lock:
            self._stand_in.tables.write(changes, now_ms)
            self.reader.stand_in = self._stand_in.db

    def _catch_up(self, cut: bool) -> None:
        """Take over what memory alone has seen: how much waited, and jobs of which not every event was kept.

        A disk that is full again leaves a gap.
        """
        if self._stand_in is None:
            return
        assert self.reader is not None
        with self.reader.lock, contextlib.suppress(sqlite3.Error):
            self._tables.put_all("put_depth", self._stand_in.depths())
            if cut:
                self._tables.put_all("put_job", self._stand_in.jobs())

    def _let_go(self) -> None:
        """Whatever was held in memory is in the file."""
        if self._stand_in is None:
            return
        assert self.reader is not None
        with self.reader.lock:
            self.reader.stand_in = None
            self._stand_in.db.close()
            self._stand_in = None

    def live_bytes(self) -> int:
        """What the file holds, free pages not counted."""
        return self._tables.live_bytes()

    def close(self) -> None:
        """End it as one whole file; safe twice."""
        self._let_go()
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error:
            # A reader still holds it, or it is closed already: the next one who opens it takes the journal in.
            pass
        self._db.close()
