"""The line above a list: its filter as it is typed, with completion, and what is wrong with it at the place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from zjops.recording.filters import FilterError
from zjops.tui.ink import BAD, BOLD, DIM, content
from zjops.tui.widgets import Field


class _Completion(Suggester):
    """The first way to finish what is being typed."""

    def __init__(self, complete: Callable[[str], Sequence[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete = complete

    async def get_suggestion(self, value: str) -> str | None:
        found = self._complete(value)
        return found[0] if found else None


class _Field(Field):
    """The field itself; Tab takes the completion, as the right arrow does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "cursor_right", "complete", show=False, priority=True),
        Binding("escape", "leave", "leave", show=False, priority=True),
    ]

    def action_leave(self) -> None:
        """Give the filter up that was being typed."""
        bar = self.parent
        assert isinstance(bar, FilterBar)
        bar.leave()


class FilterBar(Vertical):
    """A filter that is shown, and edited after `/`. `check` raises `FilterError` for one that means nothing."""

    class Changed(Message):
        """Another filter holds."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self, complete: Callable[[str], Sequence[str]], check: Callable[[str], object], *, id: str
    ) -> None:  # fmt: skip
        super().__init__(id=id)
        self._complete, self._check = complete, check
        self.text, self._scope = "", ""

    def compose(self) -> ComposeResult:
        yield Static(classes="scope")
        field = _Field(suggester=_Completion(self._complete), compact=True, select_on_focus=False)
        field.display = False
        yield field
        yield Static(classes="wrong hidden")

    @property
    def _field(self) -> Input:
        return self.query_one(Input)

    def edit(self) -> None:
        """Begin to type."""
        self._field.value = f"{self.text} " if self.text else ""
        self._field.display = True
        self._field.cursor_position = len(self._field.value)
        # At once: the next key is already on its way.
        self.screen.set_focus(self._field)

    def leave(self) -> None:
        """What holds stays."""
        self._field.display = False
        self._say("")
        self.parent.settle()  # type: ignore[union-attr]

    def set(self, text: str) -> None:
        """Another filter, from elsewhere. One that means nothing is left in the field with the message."""
        self.edit()
        self._field.value = text
        self._take(text)

    def tell(self, scope: str) -> None:
        """What the list shows."""
        self._scope = scope
        spans = [(self.text or "all", BOLD), (f"   {scope}", DIM)]
        self.query_one(".scope", Static).update(content([[("/ ", DIM), *spans]]))

    def _say(self, text: str) -> None:
        line = self.query_one(".wrong", Static)
        line.set_class(not text, "hidden")
        line.update(content([[(text, BAD)]]))

    def _wrong(self, text: str) -> str | None:
        try:
            self._check(text)
        except FilterError as exc:
            place = "" if exc.place <= 2 else f" (character {exc.place + 1})"
            return f"✖ {exc}{place}"
        return None

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say at once what is wrong."""
        event.stop()
        self._say(self._wrong(event.value) or "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it, if it means something."""
        event.stop()
        self._take(event.value)

    def _take(self, value: str) -> None:
        wrong = self._wrong(value)
        if wrong is not None:
            self._say(wrong)
            return
        self.text = value.strip()
        self.leave()
        self.post_message(self.Changed(self.text))
