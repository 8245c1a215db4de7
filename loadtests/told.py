"""The client history of one process, for the audit: lines are kept for a moment and written many at once."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from zjops.client.history import Read, Record, Submitted, Told


class HistoryFile:
    """Appends to a file. Without one it takes records and keeps none."""

    def __init__(self, path: Path | None) -> None:
        self._lines: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = None if path is None else os.open(path, flags, 0o600)

    def submitted(
        self, tenant: str, key: str, start_ms: int, end_ms: int, outcome: Told, status: int | None = None,
        job_id: str | None = None, replayed: bool = False,
    ) -> None:  # fmt: skip
        """A submission and its answer."""
        self._add(Submitted(
            key=key, start_ms=start_ms, end_ms=end_ms, outcome=outcome, status=status, job_id=job_id,
            replayed=replayed, tenant=tenant,
        ))  # fmt: skip

    def read(self, job_id: str, status: str, start_ms: int, end_ms: int) -> None:
        """A state that was shown."""
        self._add(Read(job_id=job_id, status=status, start_ms=min(start_ms, end_ms), end_ms=end_ms))

    def _add(self, record: Record) -> None:
        if self._file is not None:
            self._lines.append(self._encode(record))

    def flush(self) -> None:
        """Write what there is."""
        if self._file is not None and self._lines:
            lines, self._lines = self._lines, []
            data = memoryview(b"\n".join(lines) + b"\n")
            while data:
                data = data[os.write(self._file, data) :]

    def close(self) -> None:
        """Write and close; safe twice."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None
