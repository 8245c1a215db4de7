"""What clients were told, as JSON lines: the beginning of every audit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from zjops.domain.errors import UsageError

Told = Literal["ok", "fail", "unknown"]


class Submitted(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="submit", omit_defaults=True):
    """A submission and its answer; `unknown` when no whole answer came. Times are Unix ms of the client's clock."""

    key: str
    start_ms: int
    end_ms: int
    outcome: Told
    status: int | None = None
    job_id: str | None = None
    replayed: bool = False
    tenant: str | None = None


class Read(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="read"):
    """A state that a reader was shown."""

    job_id: str
    status: str
    start_ms: int
    end_ms: int


Record = Submitted | Read


class History:
    """Appends records to a file; several threads may share it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as exc:
            raise UsageError(f"history {path} cannot be written ({exc.strerror})") from exc

    def add(self, record: Record) -> None:
        """Write one line."""
        with self._lock:
            self._file.write(msgspec.json.encode(record) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_history(path: Path) -> Iterator[Record]:
    """The records of a file; a torn last line is left out. Raises `UsageError`."""
    decoder = msgspec.json.Decoder(Record)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield decoder.decode(line)
                except msgspec.MsgspecError as exc:
                    if line.endswith(b"\n"):
                        raise UsageError(f"history {path}, line {number}: {exc}") from exc
    except OSError as exc:
        raise UsageError(f"history {path} cannot be read ({exc.strerror})") from exc
