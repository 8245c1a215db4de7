"""What lies over a view for a moment: help for it, and the JSON of what is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from zjops.domain.text import plain, plain_json
from zjops.tui.ink import BOLD, DIM, HEAD, PLAIN, Line, title
from zjops.tui.widgets import Sheet

GENERAL = (
    ("1 … 8", "overview, jobs, job, SLOs, tenants, chain, errors, logs"), ("j k g G", "down, up, first, last"),
    ("Enter", "open"), ("Esc", "back"), ("-", "last view"), ("/", "filter, in jobs and logs"),
    (":", "a command, such as :at 14:05 or :jobs status:failed"), ("^P", "palette of commands"),
    ("^Z", "faults only"), ("c", "copy what is chosen"), ("y", "what is chosen as JSON"),
    ("I", "incident folder: picture, text, recording, how to open"), ("r", "refresh"),
    ("t", "theme"), ("e", "header"), ("?", "this help"), ("q", "quit"),
)  # fmt: skip
TIME = (
    ("p", "freeze all panels at this instant, and go on"), ("[ ]", "a twelfth of the window back, and forth"),
    ("{ }", "narrower and wider window"), ("L", "live again"),
    ("b", "first breach of the window, else of all; again: next"),
)  # fmt: skip
ACTS = (
    ("^K", "cancel"), ("a", "retry dead letters"), ("w", "send webhooks again that failed"),
    ("h", "hold the relayer, or let it go on"), ("Esc", "stop an act that runs"),
    (":redeliver", "filter delivered: all of the filter, also what arrived"),
    (":break", "break something for 30 s, chosen by its symptom"), ("0", "heal everything that is broken"),
)  # fmt: skip
FILTER = (
    ("status:failed", "one state, or several: failed,cancelled"), ("tenant:acme*", "* is anything"),
    ("age>5m took<2s", "durations: ms s m h d; also run, final"), ("units>=100", "also attempt, bytes, batch, gas"),
    ("-type:ml_*", "- turns a word round"), ("ChRB", "a word alone is part of the id"),
)  # fmt: skip


class Over(ModalScreen[None]):
    """Lines in a frame, closed by Esc; as high as the screen has room, unless so many rows are enough."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,y", "dismiss", "close", show=False),
    ]

    def __init__(self, lines: list[Line], name: str, *, rows: int | None = None) -> None:
        super().__init__(name=name)
        self._lines, self._title, self._rows = lines, name, rows

    def compose(self) -> ComposeResult:
        frame = Vertical(Sheet(id="over-sheet"), id="over")
        frame.border_title, frame.border_subtitle = self._title, "Esc closes, j k scroll"
        yield frame

    def on_mount(self) -> None:
        sheet = self.query_one(Sheet)
        if self._rows is not None:
            sheet.styles.height = sheet.styles.min_height = self._rows
        sheet.put(self._lines)
        sheet.focus()


def help_lines(view: str, hints: Sequence[tuple[str, str]], filters: bool) -> list[Line]:
    """The keys of a view, then those that hold everywhere."""
    lines = [title(f"Keys of {view}"), *map(_line, hints), []]
    if filters and view == "jobs":
        lines += [title("Filter"), *map(_line, FILTER), []]
    return [
        *lines,
        title("Time machine"),
        *map(_line, TIME),
        [],
        title("Acts", "on what is marked, else chosen; shown first and asked"),
        *map(_line, ACTS),
        [],
        title("Everywhere"),
        *map(_line, GENERAL),
    ]


def _line(pair: tuple[str, str]) -> Line:
    return [(f"  {pair[0]:<15}", BOLD if len(pair[0]) < 15 else HEAD), (pair[1], PLAIN)]


def json_lines(value: Any) -> list[Line]:
    """A value as JSON."""
    text = plain_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    return [[(plain(line), PLAIN if ":" in line else DIM)] for line in text.splitlines()]
