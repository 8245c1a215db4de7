"""Jobs: a list over the whole recording, filtered and sorted, of which one screenful is read at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from zjops.actions.targets import Aim
from zjops.domain.errors import UsageError
from zjops.recording.filters import EVERYTHING, Filter, completions, parse
from zjops.recording.reader import Recording, Sort
from zjops.recording.rows import JobRow
from zjops.tui.figures import count, span
from zjops.tui.filterbar import FilterBar
from zjops.tui.ink import BAD, DIM, LINK, PLAIN, state_span
from zjops.tui.moment import Instant
from zjops.tui.paging import Fetch, Window
from zjops.tui.station import Station
from zjops.tui.views.base import View
from zjops.tui.widgets import Column, Row, Table

COLUMNS = (
    Column("status", 12), Column("job", 25), Column("tenant", 14, flex=True), Column("type", 15, least=92),
    Column("age", 7, right=True), Column("took", 7, right=True), Column("units", 8, right=True, least=100),
    Column("attempt", 8, right=True, least=140), Column("batch", 7, right=True, least=140),
    Column("error", 18, least=116),
)  # fmt: skip
COUNT_EVERY_MS = 5_000
FAULTS = parse("status:failed")


class Found(NamedTuple):
    """A screenful, and how many there are; the count is a little older."""

    rows: Sequence[Row]
    cursor: int
    total: int
    follows: bool


class Jobs(View):
    """The list of jobs."""

    NAME, TITLE, FILTERS = "jobs", "jobs", True
    HINTS = (
        ("Enter", "open"), ("/", "filter"), ("Space", "mark"), ("^Z", "faults only"),
        ("A T U", "sort by age, took, units"), ("g G", "newest, oldest"), ("c", "copy id"),
        ("*", "mark all that pass the filter when an act begins"), ("u", "no marks"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"sort('{by}')", by, show=False) for key, by in (("A", "age"), ("T", "took"), ("U", "units"))),
        Binding("space", "mark", "mark", show=False), Binding("asterisk", "mark_all", "mark all", show=False),
        Binding("u", "unmark", "no marks", show=False),
    ]  # fmt: skip

    class Marked(Message):
        """The chosen row is to be marked, or its mark taken away."""

    def __init__(self, station: Station) -> None:
        super().__init__(station)
        self.where, self.sort = EVERYTHING, Sort()
        self._window: Window[JobRow] = Window()
        self._moving = threading.Lock()
        """Held by the thread that loads or moves the window: a key may come while it is loaded again."""
        self._counted: tuple[Filter, int, int] | None = None
        self._instant: Instant | None = None
        self.marks: dict[str, None] = {}
        self.whole = False

    def compose(self) -> ComposeResult:
        yield FilterBar(self._completions, parse, id="jobs-filter")
        yield Table(COLUMNS, walks=True, id="jobs-table", empty="no job yet")

    def enter(self, argument: str | None) -> None:
        if argument is not None:
            self.query_one(FilterBar).set(argument)

    def _completions(self, text: str) -> list[str]:
        try:
            return completions(text, self.station.recording.tenants())
        except UsageError:
            # A damaged recording is told where it is read; here it only completes nothing.
            return []

    @property
    def _all(self) -> Filter:
        """The filter that counts, with `faults only`."""
        if not self.faults_only:
            return self.where
        return Filter(f"{self.where.text} status:failed", f"{self.where.sql} AND {FAULTS.sql}", self.where.params)

    def _fetch(self, recording: Recording, at_ms: int) -> Fetch[JobRow]:
        where, sort = self._all, self.sort
        return lambda key, backwards, limit: recording.page(
            at_ms, where=where, sort=sort, key=key, backwards=backwards, limit=limit
        )  # fmt: skip

    def read(self, recording: Recording, instant: Instant) -> Found:
        with self._moving:
            self._instant, self._window.height = instant, self.query_one(Table).page_rows
            self._window.load(self._fetch(recording, instant.at_ms))
            return self._found(recording, instant)

    def _found(self, recording: Recording, instant: Instant) -> Found:
        marked = frozenset(self.marks)
        rows = [
            _row(job, instant.at_ms)._replace(marked=self.whole or job.job_id in marked) for _, job in self._window.rows
        ]
        return Found(rows, self._window.cursor, self._count(recording, instant), self._window.follows)

    def _count(self, recording: Recording, instant: Instant) -> int:
        where, known = self._all, self._counted
        if where.all and instant.live:
            return recording.held()
        if known is not None and known[0] == where and abs(known[1] - instant.at_ms) < COUNT_EVERY_MS:
            return known[2]
        total = recording.count(instant.at_ms, where)
        self._counted = (where, instant.at_ms, total)
        return total

    def show(self, found: Found, instant: Instant) -> None:
        table, bar = self.query_one(Table), self.query_one(FilterBar)
        table.sorted_by = self.sort.by
        empty = "no job passes this filter" if not self._all.all else "no job yet"
        table.put(found.rows, found.cursor, empty)
        order = {"age": "newest first", "took": "slowest first", "units": "most units first"}[self.sort.by]
        if self.sort.turned:
            order = {"age": "oldest first", "took": "quickest first", "units": "fewest units first"}[self.sort.by]
        held = "" if found.follows else ", held still; g follows"
        marks = "ALL marked, " if self.whole else f"{count(len(self.marks))} marked, " if self.marks else ""
        bar.tell(f"{marks}{count(found.total)} jobs, {order}{held}" + (", faults only" if self.faults_only else ""))

    async def on_table_walked(self, event: Table.Walked) -> None:
        """Move the window; what it shows then is read in a thread."""
        event.stop()
        await self._walk(event.by, end=event.end)

    async def _walk(self, by: int | None, *, end: bool = False) -> None:
        if self._instant is None:
            return
        instant, recording = self._instant, self.station.recording
        fetch = self._fetch(recording, instant.at_ms)

        def walk() -> Found:
            with self._moving:
                if by is not None:
                    self._window.move(by, fetch)
                elif end:
                    self._window.last(fetch)
                else:
                    self._window.first(fetch)
                return self._found(recording, instant)

        try:
            found = await asyncio.to_thread(walk)
        except UsageError as exc:
            self.app.say(str(exc))  # type: ignore[attr-defined]
        else:
            self.show(found, instant)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Open the job in its own view."""
        event.stop()
        self.app.open_view("job", event.key)  # type: ignore[attr-defined]

    def on_filter_bar_changed(self, event: FilterBar.Changed) -> None:
        """Another filter, from the beginning of its list."""
        event.stop()
        self.where = parse(event.text)
        self._window = Window(self._window.height, ascending=self._window_ascending())
        self.app.reload()  # type: ignore[attr-defined]

    def _window_ascending(self) -> bool:
        return self.sort.turned

    def action_sort(self, by: str) -> None:
        """Sort by a column; the same once more turns it round."""
        self.sort = Sort(by, not self.sort.turned if self.sort.by == by else False)
        self._window = Window(self._window.height, ascending=self._window_ascending())
        self.app.reload()  # type: ignore[attr-defined]

    def action_mark(self) -> None:
        """Mark the chosen job or take its mark away, and go on to the next; time and filters keep marks."""
        self.post_message(self.Marked())

    async def on_jobs_marked(self, event: Marked) -> None:
        """One after the other: the next one marks what was gone on to, however quickly it comes."""
        event.stop()
        row = self.query_one(Table).chosen
        if row is None:
            return
        self.whole = False
        if row.key in self.marks:
            del self.marks[row.key]
        else:
            self.marks[row.key] = None
        self._window.hold(lambda job: job.job_id == row.key)
        await self._walk(1)

    def action_mark_all(self) -> None:
        """All that pass the filter, whichever these are when an act begins; once more, none."""
        self.whole, self.marks = not self.whole, {}
        self.app.reload()  # type: ignore[attr-defined]

    def action_unmark(self) -> None:
        """No marks."""
        self.unmark()
        self.app.reload()  # type: ignore[attr-defined]

    def unmark(self) -> None:
        self.whole, self.marks = False, {}

    def aim(self, whole: bool) -> Aim | None:
        """What is marked, else the chosen row."""
        if whole or self.whole:
            text = self._all.text.strip()
            return Aim(f"all jobs of {text}" if text else "all jobs", where=self._all, sort=self.sort)
        if self.marks:
            return Aim(f"{count(len(self.marks))} marked", tuple(self.marks))
        row = self.query_one(Table).chosen
        return None if row is None else Aim(row.key, (row.key,))

    def copied(self) -> str | None:
        row = self.query_one(Table).chosen
        return row.key if row else None

    def raw(self) -> dict[str, object] | None:
        job = self._window.chosen
        return None if job is None else job._asdict()


def _row(job: JobRow, at_ms: int) -> Row:
    took = None if job.ended_at is None else job.ended_at - job.accepted_at
    error = job.error_code or ""
    return Row(job.job_id, (
        state_span(job.state), (job.job_id, LINK), (job.tenant, PLAIN), (job.job_type, DIM),
        (span(at_ms - job.accepted_at), PLAIN), (span(took), PLAIN), (count(job.compute_units), PLAIN),
        (str(job.attempt or "–"), DIM), (count(job.batch_id), DIM), (error, BAD),
    ))  # fmt: skip
