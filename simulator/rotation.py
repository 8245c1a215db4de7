"""Logs that do not grow without end: at a size a file becomes `name.1.ext`, that one `name.2.ext`; the last goes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def older(path: Path, number: int) -> Path:
    """The name of the file that was in use so many files ago."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def make_room(path: Path, keep: int) -> None:
    """Let every older file be one older; what was the oldest of `keep` goes."""
    for number in range(keep, 0, -1):
        former = older(path, number)
        if number == keep:
            former.unlink(missing_ok=True)
        elif former.exists():
            former.replace(older(path, number + 1))


def rotate_copy(path: Path, most_bytes: int, keep: int) -> bool:
    """Begin a file anew to which another program goes on writing, if it is over its size; whether it was.

    The program must append: what it writes next then stands at the beginning. A line that it writes between our last
    read and the truncation is lost; a program of ours writes to a `RotatingLog`, which loses none.
    """
    if not path.exists() or path.stat().st_size <= most_bytes:
        return False
    make_room(path, keep)
    descriptor = os.open(older(path, 1), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as copy, path.open("r+b") as source:
        shutil.copyfileobj(source, copy)
        source.truncate(0)
    return True


class RotatingLog:
    """A text stream to a file of our own: what is flushed is whole lines, so it is between two that a file ends."""

    def __init__(self, path: Path, most_bytes: int, keep: int) -> None:
        self._path, self._most, self._keep = path, most_bytes, keep
        path.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._file = os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

    def write(self, text: str) -> int:
        """Take a part of a line."""
        self._file.write(text.encode())
        return len(text)

    def flush(self) -> None:
        """Write what was taken; a file that is over its size then makes room for the next."""
        self._file.flush()
        if self._file.tell() > self._most:
            self._file.close()
            make_room(self._path, self._keep)
            self._path.replace(older(self._path, 1))
            self._open()

    def close(self) -> None:
        """Write the rest and let go of the file."""
        self._file.close()
