"""The line at the bottom."""

from __future__ import annotations

import pytest

from zjops.tui.header import footer

HINTS = [("2", "jobs"), ("p", "freeze")]


@pytest.mark.parametrize(
    ("note", "standing", "width", "shown"),
    [
        pytest.param("", "", 60, " 1-8 views  ? help  q quit  2 jobs  p freeze  ", id="keys"),
        pytest.param("", "demo 3 of 12", 40, " demo 3 of 12  1-8 views  ? help  ", id="what stands there and keys"),
        pytest.param("", "demo 3 of 12: a long title", 16, " demo 3 of 12:…  ", id="what stands there is cut"),
        pytest.param("copied", "demo 3 of 12", 12, " copied     ", id="a note is for a moment, and alone"),
    ],
)
def test_what_it_says(note: str, standing: str, width: int, shown: str) -> None:
    assert "".join(text for text, _ in footer(HINTS, note, width, standing)) == shown
