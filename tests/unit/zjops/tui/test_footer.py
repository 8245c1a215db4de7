"""The lines at the top and at the bottom."""

from __future__ import annotations

import pytest

from zjops.feed.messages import RECORDING, Stale
from zjops.tui.header import _away, footer

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


def test_of_a_recording_that_is_not_written_which_and_why_are_never_cut() -> None:
    path = "/srv/platforms/the-one-in-the-cellar/ada/.zjops/recordings/20261126T080000Z-4711.zjrec"
    why = f"recording {path} cannot be written (database or disk is full); what is shown comes from memory"
    lines = ["".join(text for text, _ in line) for line in _away(
        [Stale("chain", "refused " * 20, 0), Stale(RECORDING, why, 1_000)], 4_000, 80
    )]  # fmt: skip
    assert all(len(line) == 80 for line in lines)
    assert lines[0].startswith(" ◌ chain stale for 4.0 s: refused")
    assert lines[1].startswith(" ◌ for 3.0 s: recording")
    told = "".join(line[3:].rstrip() for line in lines[1:])
    assert path in told
    assert "(database or disk is full)" in " ".join(line[3:].rstrip() for line in lines[1:])
