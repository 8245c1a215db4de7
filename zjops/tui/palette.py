"""What the palette offers: views, time, acts, and what holds everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from zjops.tui import commands

if TYPE_CHECKING:
    from zjops.tui.app import TopApp


def system_commands(app: TopApp) -> Iterable[SystemCommand]:
    """Each with its key, so that it need not be looked for twice."""
    for number, name in enumerate(commands.VIEWS, 1):
        yield SystemCommand(f"View: {name}", f"key {number}", lambda name=name: app.open_view(name))
    yield SystemCommand("Time: freeze or go on", "key p", app.action_freeze)
    yield SystemCommand("Time: live", "key L", app.action_live)
    yield SystemCommand("Time: first breach", "key b", app.action_breach)
    yield from app.acting.palette()
    yield SystemCommand("Theme: next", "key t", app.action_theme)
    yield SystemCommand("Help", "key ?", app.action_help)
    yield SystemCommand("Quit", "key q", app.action_quit)
