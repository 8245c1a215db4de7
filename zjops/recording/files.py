"""Recordings as files: where they lie, and whether one is whole."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from zjops.domain.clock import parse_rfc3339, rfc3339
from zjops.domain.errors import UsageError

FOLDER = "recordings"
SUFFIX = ".zjrec"
APPLICATION_ID = 0x7A6A7265
VERSION = 2
HEADER_BYTES = 100


class Limits(NamedTuple):
    """How much is kept; the oldest minutes go first."""

    hours: float = 24.0
    bytes: int = 2_000_000_000


def new_file(folder: Path, at_ms: int) -> Path:
    """The name of a recording that begins at a moment; one of this process alone."""
    stamp = rfc3339(at_ms).replace(":", "").replace("-", "")[:15]
    return folder / f"{stamp}Z-{os.getpid()}{SUFFIX}"


def drop_old(folder: Path, now_ms: int, limits: Limits) -> None:
    """Remove former recordings that are older than the limit, and the oldest ones where all together are too large.

    One that another process is writing stays: it would go on writing into a file that nobody can find.
    """
    room = limits.bytes
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda found: found.stat().st_mtime, reverse=True):
        told = path.stat()
        room -= told.st_size
        late = room < 0 or told.st_mtime * 1000 < now_ms - limits.hours * 3_600_000
        if late and not _being_written(path):
            for part in (path, *(path.with_name(path.name + more) for more in ("-wal", "-shm"))):
                part.unlink(missing_ok=True)


def _being_written(path: Path) -> bool:
    """Whether the process of its name lives, and lived when it began: a later one may have got the same number."""
    import psutil

    began, pid = _began(path), path.stem.rpartition("-")[2]
    if began is None or not pid.isdecimal():
        return False
    try:
        return bool(psutil.Process(int(pid)).create_time() * 1000 < began + 1000)
    except psutil.Error:
        return False


def check_file(path: Path) -> None:
    """Refuse what is no recording, or only part of one. Raises `UsageError`."""
    try:
        told = path.stat()
        if not (stat.S_ISREG(told.st_mode) or stat.S_ISDIR(told.st_mode)):
            # Opening a pipe would wait for somebody who writes.
            raise UsageError(f"{path} is no file, and so no recording of zjops record")
        header, size = _head(path, (told.st_dev, told.st_ino)), told.st_size
    except OSError as exc:
        raise UsageError(f"recording {path} cannot be read ({exc.strerror})") from exc
    if len(header) < HEADER_BYTES or header[:16] != b"SQLite format 3\x00":
        raise UsageError(f"{path} is no recording of zjops record")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise UsageError(f"{path} is a SQLite file, but no recording of zjops record")
    page = int.from_bytes(header[16:18], "big")
    wanted = int.from_bytes(header[28:32], "big") * (65_536 if page == 1 else page)
    if size < wanted:
        raise UsageError(f"recording {path} is cut off: {size:,} of {wanted:,} bytes; take another copy of it")


_held: dict[tuple[int, int], int] = {}
"""Descriptors of files that are being written, by device and inode."""


def _head(path: Path, file: tuple[int, int]) -> bytes:
    """The first bytes. Of a file with a journal the descriptor stays open: to close any of them would let go of every
    lock that SQLite has on the file in this process, and another reader would then remove the journal under a writer.
    """
    found = _held.get(file)
    if found is None:
        found = os.open(path, os.O_RDONLY)
        if journal_of(path).exists():
            _held[file] = found
    try:
        return os.pread(found, HEADER_BYTES, 0)
    finally:
        if file not in _held:
            os.close(found)


def journal_of(path: Path) -> Path:
    """Where SQLite puts what a recording does not hold yet."""
    return path.with_name(f"{path.name}-wal")


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Say of a file that SQLite cannot read what it is. Raises `UsageError`."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        raise UsageError(f"recording {path} is damaged ({exc}); take another copy of it") from exc


def covering(folder: Path, at_ms: int) -> Path:
    """The newest recording that began before a moment and goes on after it. Raises `UsageError`."""
    found = [(path, began) for path in folder.glob(f"*{SUFFIX}") if (began := _began(path)) is not None]
    for path, began in sorted(found, key=lambda one: -one[1]):
        if began <= at_ms <= _written_ms(path) + 1000:
            return path
    first = f"; the oldest of {len(found)} begins at {rfc3339(min(b for _, b in found))}" if found else ""
    raise UsageError(f"no recording in {folder} covers {rfc3339(at_ms)}{first}")


def _written_ms(path: Path) -> int:
    """When it was last written; while it is, its journal is the younger one of both."""
    parts = (part for part in (path, journal_of(path)) if part.exists())
    return max(part.stat().st_mtime_ns // 1_000_000 for part in parts)


def _began(path: Path) -> int | None:
    """When a recording began, from its name."""
    text = path.name.split("-")[0]
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
