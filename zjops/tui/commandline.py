"""The line that `:` opens, with completion."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Static

from zjops.tui.commands import complete_command
from zjops.tui.widgets import Field


class _Commands(Suggester):
    """The first way to finish a command."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        found = complete_command(value)
        return found[0] if found else None


class CommandLine(Horizontal):
    """Hidden until it is asked for."""

    BINDINGS = [Binding("escape", "leave", "leave", show=False, priority=True)]  # noqa: RUF012 - Textual's own form

    class Given(Message):
        """A command was typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def on_mount(self) -> None:
        self.display = False

    def compose(self) -> ComposeResult:
        yield Static(":")
        yield Field(suggester=_Commands(), compact=True)

    def edit(self) -> None:
        """Begin to type."""
        self.display = True
        field = self.query_one(Input)
        field.value = ""
        # At once: the next key is already on its way.
        self.screen.set_focus(field)

    def action_leave(self) -> None:
        """Give it up."""
        self.display = False
        self.app.view.settle()  # type: ignore[attr-defined]

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it."""
        event.stop()
        self.action_leave()
        if event.value.strip():
            self.post_message(self.Given(event.value))
