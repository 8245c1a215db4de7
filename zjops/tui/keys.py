"""The keys of the whole terminal, whatever view is shown; those of acts stand with the acts."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from zjops.tui import commands

BINDINGS: list[BindingType] = [
    *(Binding(str(number), f"view('{name}')", name, show=False)
      for number, name in enumerate(commands.VIEWS, 1)),
    Binding("q", "quit", "quit", show=False), Binding("question_mark", "help", "help", show=False),
    Binding("colon", "command", "command", show=False, priority=True),
    Binding("slash", "filter", "filter", show=False, priority=True),
    Binding("escape", "leave", "back", show=False), Binding("minus", "last", "last view", show=False),
    Binding("p", "freeze", "freeze", show=False), Binding("left_square_bracket", "step(-1)", "back", show=False),
    Binding("right_square_bracket", "step(1)", "forth", show=False),
    Binding("left_curly_bracket", "widen(-1)", "narrower", show=False),
    Binding("right_curly_bracket", "widen(1)", "wider", show=False), Binding("L", "live", "live", show=False),
    Binding("b", "breach", "first breach", show=False),
    Binding("t", "theme", "theme", show=False), Binding("e", "header", "header", show=False),
    Binding("r", "refresh", "refresh", show=False), Binding("c", "copy", "copy", show=False),
    Binding("y", "raw", "JSON", show=False), Binding("I", "incident", "incident", show=False),
    Binding("ctrl+z", "faults", "faults", show=False, priority=True),

]  # fmt: skip
