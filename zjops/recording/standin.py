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

BACK_MS = 3_600_000
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

    def depths(self) -> list[tuple[int, str, int, int | None]]:
        """How much waited where, of every second since it began."""
        return self.db.execute(statement("depths_from"), (self._began_ms,)).fetchall()

    def _fill(self, path: Path, now_ms: int) -> None:
        parts = named((resources.files("zjops.recording") / "standin.sql").read_text())
        self.db.execute("ATTACH ? AS whole", (f"file:{quote(str(path))}?mode=ro",))
        try:
            for sql in parts.values():
                self.db.execute(sql, {"first": now_ms - BACK_MS, "most": JOBS_MOST})
        finally:
            self.db.execute("DETACH whole")
