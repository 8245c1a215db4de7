"""A part of a recording as a recording of its own, small enough to hand on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

from zjops.domain.errors import FileUnavailable
from zjops.recording.files import check_file
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder
from zjops.recording.statements import named


def cut(whole: Recording, target: Path, first_ms: int, last_ms: int) -> None:
    """Write what was between two moments, and what still held then, into a new file. Raises `FileUnavailable`."""
    check_file(whole.path)
    Recorder(target, whole.about()).close()
    parts = named((resources.files("zjops.recording") / "cut.sql").read_text())
    try:
        with closing(sqlite3.connect(target)) as db:
            db.execute("ATTACH ? AS whole", (str(whole.path),))
            with db:
                for sql in parts.values():
                    db.execute(sql, {"first": first_ms, "last": last_ms})
    except sqlite3.Error as exc:
        raise FileUnavailable(f"{target} cannot be written ({exc})", "recording") from exc
