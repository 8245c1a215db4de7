"""The platform's own JSON logs, as an operator reads them: the newest of every process, in the order of time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

import msgspec

from zjops.domain.clock import parse_rfc3339

TAIL_BYTES = 400_000
"""How much of the end of each file is read."""
LEVELS = ("debug", "info", "warning", "error", "critical")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a log (R114)."""

    timestamp: str
    level: str
    service: str
    message: str
    trace_id: str | None = None
    tenant_id: str | None = None
    job_id: str | None = None
    metadata: dict[str, object] = {}

    @property
    def at_ms(self) -> int:
        """When it was written."""
        return parse_rfc3339(self.timestamp)

    @property
    def bad(self) -> bool:
        """Whether it tells of something wrong."""
        return self.level not in ("debug", "info")


class Logs:
    """The files of a folder; a file that is turned over or cut off is read as far as it goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._decode = msgspec.json.Decoder(Entry).decode
        self._seen: dict[Path, tuple[tuple[int, int], list[tuple[int, str, Entry, str]]]] = {}

    def newest(self, at_ms: int, words: Sequence[str] = (), most: int = 500, bad: bool = False) -> list[
        tuple[Entry, str]
    ]:  # fmt: skip
        """Entries up to a moment in which every word occurs, newest first, each with its line."""
        lowered = [word.lower() for word in words]
        found = [
            (at, line, entry)
            for path in sorted(self.folder.glob("*.jsonl"))
            for at, text, entry, line in self._tail(path)
            if at <= at_ms and (entry.bad or not bad) and all(word in text for word in lowered)
        ]
        newest = heapq.nlargest(most, found, key=lambda one: one[0])
        return [(entry, line) for _, line, entry in newest]

    def _tail(self, path: Path) -> list[tuple[int, str, Entry, str]]:
        """The entries at the end of a file; read again only when it has changed."""
        try:
            told = path.stat()
            stamp = (told.st_size, told.st_mtime_ns)
            known = self._seen.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            with path.open("rb") as file:
                file.seek(max(0, told.st_size - TAIL_BYTES))
                lines = file.read().split(b"\n")
        except OSError:
            return []
        if told.st_size > TAIL_BYTES:
            del lines[0]
        entries = [entry for line in lines if (entry := self._entry(line)) is not None]
        self._seen[path] = (stamp, entries)
        return entries

    def _entry(self, line: bytes) -> tuple[int, str, Entry, str] | None:
        try:
            entry = self._decode(line)
            text = line.decode("utf-8", "replace")
            return entry.at_ms, text.lower(), entry, text
        except (msgspec.MsgspecError, ValueError):
            return None
