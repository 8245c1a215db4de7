"""Which files of a log count and what is missing between them, by their names alone."""

from __future__ import annotations

import itertools
from pathlib import Path

from zjops.domain.errors import InvariantError, UsageError
from zjops.domain.logfiles import LogFile, log_file, log_files, those_that_count

__all__ = ["LogFile", "files_that_count"]


def read_folder(folder: Path) -> list[LogFile]:
    """The files of a log that count now."""
    return those_that_count(log_files(folder))


def files_that_count(folder: Path) -> list[Path]:
    """The paths of a log's files that count now, in the order of their sequences."""
    return [file.path for file in read_folder(folder)]


def foreign(folder: Path) -> Path | None:
    """A Parquet file that lies in a log and whose name is not one of the log's."""
    return next((path for path in sorted(folder.glob("date=*/*.parquet")) if log_file(path) is None), None)


def require_own(folder: Path) -> None:
    """Raise `UsageError` for a file that is not the log's: what it holds would silently be left out."""
    path = foreign(folder)
    if path is not None:
        raise UsageError(f"{path} is no file of this log: its name says no range of sequences; take it away")


def gap(files: list[LogFile]) -> tuple[LogFile, LogFile] | None:
    """The files before and after the first missing range. What was expired at the beginning is not missing."""
    pairs = itertools.pairwise(files)
    return next(((a, b) for a, b in pairs if a.prefix == b.prefix and b.first > a.last + 1), None)


def require_gapless(files: list[LogFile]) -> None:
    """Raise `InvariantError` that names the missing range of sequences, and the days between which it lies."""
    found = gap(files)
    if found is None:
        return
    before, after = found
    days = before.day, after.day
    where = f"between {days[0]} and {days[1]}" if days[0] != days[1] else f"on {days[0]}"
    raise InvariantError(
        f"log {before.path.parents[1]} has a gap: {before.prefix} {before.last + 1} to {after.first - 1} are missing, "
        f"{where}; put the files back, or see what is lost: zjops audit"
    )


def overlapping(files: list[LogFile]) -> set[Path]:
    """Files whose ranges share sequences with a neighbour's: what stands in both counts once."""
    pairs = [(a, b) for a, b in itertools.pairwise(files) if a.prefix == b.prefix and b.first <= a.last]
    return {file.path for pair in pairs for file in pair}
