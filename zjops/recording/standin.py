"""What stands in for a recording while its disk takes nothing: its newest part in memory, and what came since."""

from __future__ import annotations

import contextlib
import sqlite3
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from zjops.recording.files import Limits
from zjops.recording.statements import named, schema, statement
from zjops.recording.tables import Tables

BACK_MS, LATE_MS = 3_600_000, 60_000
JOBS_MOST = 200_000
BYTES_MOST = 400_000_000


class StandIn:
    """The last hour of a recording, at most so many jobs of it, and every job that something still waits for."""

    def __init__(self, path: Path, now_ms: int, limits: Limits) -> None:
        self._began_ms = now_ms
        self.db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None, uri=True)
        self.db.execute("PRAGMA temp_store = MEMORY")
        self.db.executescript(schema())
        # Of a disk that cannot even be read there is nothing to begin with.
        with contextlib.suppress(sqlite3.Error):
            self._fill(path, now_ms)
        self.tables = Tables(self.db, Limits(limits.hours, min(limits.bytes, BYTES_MOST)))

    def depths(self) -> sqlite3.Cursor:
        """How much waited where, of every second since it began, as `put_depth` takes it."""
        return self.db.execute(statement("depths_from"), (self._began_ms,))

    def jobs(self) -> sqlite3.Cursor:
        """The newest of each job to which something happened since it began, as `put_job` takes it."""
        return self.db.execute(statement("jobs_from"), (self._began_ms - LATE_MS,))

    def _fill(self, path: Path, now_ms: int) -> None:
        parts = named((resources.files("zjops.recording") / "standin.sql").read_text())
        self.db.execute("ATTACH ? AS whole", (f"file:{quote(str(path))}?mode=ro",))
        try:
            for sql in parts.values():
                self.db.execute(sql, {"first": now_ms - BACK_MS, "most": JOBS_MOST})
        finally:
            self.db.execute("DETACH whole")
