"""Logs: the platform's own JSON lines of all processes in the order of time, by level, trace id or any word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from textual.app import ComposeResult

from zjops.recording.reader import Recording
from zjops.tui.applog import LEVELS, Entry
from zjops.tui.figures import count
from zjops.tui.filterbar import FilterBar
from zjops.tui.ink import BAD, DIM, LINK, PLAIN, WARN, Span
from zjops.tui.moment import Instant
from zjops.tui.station import Station
from zjops.tui.views.base import View
from zjops.tui.widgets import Column, Row, Table

COLUMNS = (
    Column("time", 13), Column("level", 9), Column("service", 11), Column("message", 30, flex=True),
    Column("job", 25, least=120), Column("trace", 10, least=100),
)  # fmt: skip
STYLES = {"debug": ("· debug", DIM), "info": ("○ info", PLAIN), "warning": ("▲ warning", WARN)}
MOST = 500


class Logs(View):
    """Newest first."""

    NAME, TITLE, FILTERS = "logs", "logs", True
    HINTS = (
        ("/", "words that all occur"),
        ("^Z", "warnings and worse"),
        ("Enter", "the whole line"),
        ("c", "copy trace id"),
    )

    def __init__(self, station: Station) -> None:
        super().__init__(station)
        self.words: list[str] = []
        self._found: Sequence[tuple[Entry, str]] = ()

    def compose(self) -> ComposeResult:
        yield FilterBar(_complete, lambda text: None, id="logs-filter")
        yield Table(COLUMNS, follows=True, id="logs-table", empty="no line yet")

    def enter(self, argument: str | None) -> None:
        if argument is not None:
            self.query_one(FilterBar).set(argument)

    def read(self, recording: Recording, instant: Instant) -> Sequence[tuple[Entry, str]]:
        logs = self.station.logs
        return [] if logs is None else logs.newest(instant.at_ms, self.words, MOST, self.faults_only)

    def show(self, found: Sequence[tuple[Entry, str]], instant: Instant) -> None:
        self._found, bar, logs = found, self.query_one(FilterBar), self.station.logs
        if logs is None:
            bar.tell("this context names no log folder on this machine (log_dir)")
            self.query_one(Table).put([], empty="no logs to read here")
            return
        more = f"the newest {MOST}" if len(found) == MOST else count(len(found))
        worse = ", warnings and worse" if self.faults_only else ""
        bar.tell(f"{more} lines of the ends of {logs.folder.name}/*.jsonl, newest first{worse}")
        empty = "no line has these words" if self.words or self.faults_only else "no line yet"
        self.query_one(Table).put([_row(entry, line) for entry, line in found], empty=empty)

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """Other words."""
        event.stop()
        self.words = event.text.replace("level:", "").split()
        self.app.reload()  # type: ignore[attr-defined]

    def _chosen(self) -> Entry | None:
        row = self.query_one(Table).chosen
        return next((entry for entry, line in self._found if row is not None and line == row.key), None)

    def on_table_opened(self, event: Table.Opened) -> None:
        """The whole line."""
        event.stop()
        self.app.action_raw()  # type: ignore[attr-defined]

    def copied(self) -> str | None:
        entry = self._chosen()
        return None if entry is None else entry.trace_id or entry.job_id

    def raw(self) -> Any:
        entry = self._chosen()
        return None if entry is None else msgspec.to_builtins(entry)


def _complete(text: str) -> Sequence[str]:
    before, space, word = text.rpartition(" ")
    known = [f"level:{level}" for level in LEVELS]
    return [f"{before}{space}{one}" for one in known if word and one.startswith(word) and one != word]


def _row(entry: Entry, line: str) -> Row:
    level: Span = STYLES.get(entry.level, (f"✖ {entry.level}", BAD))
    more = " ".join(f"{name}={value}" for name, value in entry.metadata.items())
    return Row(line, (
        (entry.timestamp[11:23], DIM), level, (entry.service, LINK), (f"{entry.message}  {more}".rstrip(), PLAIN),
        (entry.job_id or "", DIM), ((entry.trace_id or "")[:9], DIM),
    ))  # fmt: skip
