"""Errors: failures by code and type of job, with first and last seen and a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual.app import ComposeResult

from zjops.recording.reader import Recording
from zjops.recording.rows import ErrorGroup
from zjops.tui.figures import clock, count, span
from zjops.tui.ink import BAD, BOLD, DIM, LINK, PLAIN
from zjops.tui.moment import Instant, window_text
from zjops.tui.views.base import View
from zjops.tui.widgets import Column, Row, Table

COLUMNS = (
    Column("error", 12, flex=True), Column("type of job", 15), Column("jobs", 6, right=True),
    Column("tenants", 7, right=True, least=90), Column("first seen", 10, right=True, least=100),
    Column("last seen", 9, right=True), Column("last ago", 8, right=True, least=110), Column("newest", 25, least=90),
)  # fmt: skip


class Sampled(NamedTuple):
    """A group with the id of its newest job."""

    group: ErrorGroup
    job_id: str


class Errors(View):
    """What fails."""

    NAME, TITLE = "errors", "errors"
    HINTS = (("Enter", "open the sample"), ("o", "all its jobs"), ("{ }", "window"), ("c", "copy id"))
    BINDINGS = [("o", "list", "jobs")]  # noqa: RUF012 - Textual's own form

    def compose(self) -> ComposeResult:
        yield Table(COLUMNS, id="errors-table", empty="no job failed in this window")

    def read(self, recording: Recording, instant: Instant) -> Sequence[Sampled]:
        found = []
        for group in recording.errors(instant.first_ms, instant.at_ms):
            job = recording.numbered(group.sample)
            found.append(Sampled(group, job.job_id if job else ""))
        return found

    def show(self, found: Sequence[Sampled], instant: Instant) -> None:
        self._found = found
        empty = f"no job failed in the last {window_text(instant.window_s)}; }} widens the window"
        self.query_one(Table).put([_row(one, instant.at_ms) for one in found], empty=empty)

    def _chosen(self) -> Sampled | None:
        row = self.query_one(Table).chosen
        return next((one for one in self._found if row is not None and _key(one) == row.key), None)

    def on_table_opened(self, event: Table.Opened) -> None:
        """Its newest job."""
        event.stop()
        chosen = self._chosen()
        if chosen is not None:
            self.app.open_view("job", chosen.job_id)  # type: ignore[attr-defined]

    def action_list(self) -> None:
        """All jobs that failed like this."""
        chosen = self._chosen()
        if chosen is not None:
            text = f'error:"{chosen.group.error_code}" type:{chosen.group.job_type}'
            self.app.open_view("jobs", text)  # type: ignore[attr-defined]

    def copied(self) -> str | None:
        chosen = self._chosen()
        return None if chosen is None else chosen.job_id

    def raw(self) -> dict[str, object] | None:
        chosen = self._chosen()
        return None if chosen is None else chosen.group._asdict() | {"sample": chosen.job_id}


def _key(one: Sampled) -> str:
    return f"{one.group.error_code} {one.group.job_type}"


def _row(one: Sampled, at_ms: int) -> Row:
    group = one.group
    return Row(_key(one), (
        (f"✖ {group.error_code}", BAD), (group.job_type, PLAIN), (count(group.jobs), BOLD),
        (count(group.tenants), PLAIN), (clock(group.first_at), DIM), (clock(group.last_at), PLAIN),
        (span(at_ms - group.last_at), DIM), (one.job_id, LINK),
    ))  # fmt: skip
