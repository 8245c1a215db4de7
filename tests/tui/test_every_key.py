"""No key without a test: whatever the application and its views bind is pressed by a test of this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.binding import Binding, BindingType

from tests.tui.conftest import Make
from zjops.tui.app import TopApp
from zjops.tui.commandline import CommandLine
from zjops.tui.filterbar import FilterBar
from zjops.tui.screens import Over
from zjops.tui.widgets import Sheet, Table

HERE = Path(__file__).parent


def _pressed() -> set[str]:
    """Every text in a test that presses something: keys are told to it or pressed by it."""
    found: set[str] = set()
    for path in HERE.glob("test_*.py"):
        for test in ast.walk(ast.parse(path.read_text())):
            if not isinstance(test, ast.AsyncFunctionDef):
                continue
            parts = list(ast.walk(test))
            if any(isinstance(part, ast.Attribute) and part.attr == "press" for part in parts):
                texts = {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}
                found |= texts | ({"12345678"} & texts and set("12345678"))
    return found


def _keys(bindings: list[BindingType] | tuple[BindingType, ...]) -> Iterator[str]:
    for one in bindings:
        found = one if isinstance(one, Binding) else Binding(*one)
        yield from (key.strip() for key in found.key.split(","))


def _bound(app: TopApp) -> Iterator[tuple[str, list[str]]]:
    """Who binds which keys."""
    for owner in (TopApp, Over, CommandLine, FilterBar, Sheet, Table, *map(type, app._views.values())):
        yield owner.__name__, list(_keys(owner.__dict__.get("BINDINGS", ())))


@pytest.fixture
def app(make: Make) -> TopApp:
    return make()


def test_every_key_that_is_bound_is_pressed_by_a_test(app: TopApp) -> None:
    pressed = _pressed()
    bound = dict(_bound(app))
    assert len(bound["TopApp"]) > 20, "the application's own keys are read"
    assert {"v", "o"} <= set(bound["Job"])
    missing = {owner: sorted(set(keys) - pressed) for owner, keys in bound.items() if set(keys) - pressed}
    assert missing == {}


def test_every_key_stands_in_the_help(app: TopApp) -> None:
    """Of the application in its general part, of a view in its own hints."""
    from zjops.tui.screens import ACTS, GENERAL, TIME

    general = " ".join(key for key, _ in (*GENERAL, *TIME, *ACTS))
    named = {"question_mark": "?", "colon": ":", "slash": "/", "escape": "Esc", "minus": "-", "ctrl+z": "^Z",
             "ctrl+k": "^K", "space": "Space", "asterisk": "*",
             "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{",
             "right_curly_bracket": "}"} | {str(number): "1 … 8" for number in range(1, 9)}  # fmt: skip
    assert [key for key in _keys(TopApp.BINDINGS) if named.get(key, key) not in general] == []
    for view in app._views.values():
        hints = " ".join(key for key, _ in view.HINTS)
        assert [k for k in _keys(type(view).__dict__.get("BINDINGS", ())) if named.get(k, k) not in hints] == [], (
            view.NAME
        )
