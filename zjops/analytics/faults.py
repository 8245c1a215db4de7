"""DuckDB's errors as ours: which file is to blame, and in one line why."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from zjops.domain.errors import UnreachableError, UsageError, ZjopsError

UNSAID = (duckdb.Error, duckdb.InvalidInputException)
"""The classes, without their own kinds, in which Parquet's decoders complain without saying of which file."""


def reason(error: Exception) -> str:
    """The first line of what an error says."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__).strip()


def told(error: Exception, log_dir: Path, files: Iterable[Path]) -> ZjopsError:
    """An error of reading a log, for people."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return UsageError(f"this needs more memory than it was given: {reason(error)}")
    guilty = culprit(error, list(files))
    if guilty is not None:
        return UsageError(f"{guilty} is damaged or no file of this log: {reason(error)}")
    return UnreachableError(f"log {log_dir} cannot be read: {reason(error)}")


def culprit(error: Exception, files: list[Path]) -> Path | None:
    """The file that an error is about: the one it names, or else the first that cannot be read whole."""
    named = next((path for path in files if str(path) in str(error)), None)
    if named is not None:
        return named if named.exists() else None
    return next((path for path in files if _unreadable(path)), None) if type(error) in UNSAID else None


def _unreadable(path: Path) -> bool:
    with duckdb.connect(":memory:") as db:
        try:
            db.execute("SELECT bit_xor(hash(t)) FROM read_parquet($1) AS t", [str(path)]).fetchall()
        except duckdb.Error:
            return path.exists()
    return False
