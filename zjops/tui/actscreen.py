"""The preview of an act, its reason and the last question; nothing is done here."""

from __future__ import annotations

from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from zjops.actions.acts import REASON_MOST, Act, checked_reason
from zjops.actions.preview import Preview, told
from zjops.domain.errors import UsageError
from zjops.domain.text import one_line
from zjops.tui.ink import BAD, BOLD, DIM, HEAD, PLAIN, WARN, Line, content
from zjops.tui.widgets import Field, Sheet

WIDTH = 72


def fitted(line: str, width: int) -> list[str]:
    """A line in as many as a frame on a screen so wide needs; what a terminal would obey is spelled out first."""
    return wrap(one_line(line), min(WIDTH, width * 24 // 25 - 4), subsequent_indent="    ")


class ActScreen(ModalScreen[str | None]):
    """Ends with the reason when it was agreed to, and with None when not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave", show=False, priority=True),
        Binding("y", "agree", "yes", show=False),
        Binding("n,q", "refuse", "no", show=False),
    ]

    def __init__(self, act: Act, about: str) -> None:
        super().__init__(name=f"act-{act}")
        self._act, self._about = act, about
        self.preview: Preview | None = None
        self._failed: str | None = None
        self._reason: str | None = None

    def compose(self) -> ComposeResult:
        why = Field(placeholder="why? it goes into the audit log", compact=True, max_length=REASON_MOST, id="act-why")
        why.display = False
        frame = Vertical(Sheet(id="act-sheet"), why, Static(id="act-ask"), id="act")
        # As content: of a title that is text, Textual reads brackets as markup, and what it is about may be a filter.
        frame.border_title = content([[(f"{self._act}: {self._about}", PLAIN)]])
        frame.border_subtitle = "Esc leaves, nothing is done"
        yield frame

    def on_mount(self) -> None:
        self.query_one(Sheet).focus()
        self._show([[("looking what it would touch …", DIM)]])
        self._draw()

    def put(self, preview: Preview) -> None:
        """What it would touch; it may come before the screen stands, and after it was left."""
        self.preview = preview
        self._draw()

    def fail(self, why: str) -> None:
        """It cannot be told what it would touch, so nothing can be done."""
        self._failed = why
        self._draw()

    def _draw(self) -> None:
        """Show what has come, and ask for a reason when there is something to do."""
        if not self.query("#act-ask"):
            return
        if self._failed is not None:
            self._show([[(part, BAD)] for part in self._fitted(self._failed)])
            self._tell([("nothing was done; Esc closes", WARN)])
        elif self.preview is not None:
            self._ask(self.preview)

    def _ask(self, preview: Preview) -> None:
        first, *more = [part for line in told(preview) for part in self._fitted(line)]
        self._show([[(first, BOLD)], *(_drawn(line) for line in more)])
        if preview.nothing:
            self._tell([("nothing to do; Esc closes", WARN)])
            return
        why = self.query_one(Input)
        why.display = True
        why.focus()
        self._tell([("Enter, and one more question follows", DIM)])

    def _fitted(self, line: str) -> list[str]:
        return fitted(line, self.app.size.width)

    def _show(self, lines: list[Line]) -> None:
        sheet = self.query_one(Sheet)
        sheet.styles.height = len(lines)
        sheet.put(lines)

    def _tell(self, line: Line) -> None:
        self.query_one("#act-ask", Static).update(content([line]))

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was wrong with the reason is being mended."""
        event.stop()
        if self._reason is None:
            self._tell([("Enter, and one more question follows", DIM)])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the reason, and ask the last question."""
        event.stop()
        try:
            self._reason = checked_reason(event.value)
        except UsageError as exc:
            self._tell([(f"✖ {exc}", BAD)])
            return
        assert self.preview is not None
        event.input.display = False
        sheet = self.query_one(Sheet)
        why = self._fitted(f"  why: {self._reason}")
        self._show([*sheet.lines, *([(part, PLAIN)] for part in why)])
        sheet.focus()
        self._tell([("do it?  ", BOLD), ("y", HEAD), (" yes   ", PLAIN), ("n", HEAD), (" no", PLAIN)])

    def action_agree(self) -> None:
        """Yes, if it was asked."""
        if self._reason is not None:
            self.dismiss(self._reason)

    def action_refuse(self) -> None:
        """No, if it was asked: else it may be a letter of a reason, and the next letters would begin other acts."""
        if self._reason is not None:
            self.dismiss(None)

    def action_leave(self) -> None:
        """No."""
        self.dismiss(None)


def _drawn(line: str) -> Line:
    """What is left out stands back, what a bound cuts stands out."""
    if line.startswith("  CUT"):
        return [(line, BAD)]
    return [(line, DIM if line.startswith("  skipped") else PLAIN)]
