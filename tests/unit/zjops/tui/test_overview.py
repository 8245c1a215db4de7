"""Rules of the overview's lines: a reason that does not fit, and what is cut."""

from __future__ import annotations

import pytest

from zjops.tui.health import Health, Level
from zjops.tui.ink import Line, width_of
from zjops.tui.pipeline import Stage
from zjops.tui.views.overview import _stage

LONG = "the relayer has stopped: reorg_beyond_finality: batch 3 is gone, and whoever relied on it must be told of that"


def _texts(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def _shown(level: Level, why: str, width: int) -> list[str]:
    lines = _stage(Stage("relayer", 0.0, 5, 9_000, Health(level, why), [1.0] * 10), "├", "│", 10, width)
    assert all(width_of(line) <= width for line in lines)
    return _texts(lines)


@pytest.mark.parametrize("level", [Level.FAILING, Level.STALE])
def test_the_reason_of_a_fault_is_never_cut(level: Level) -> None:
    stage, *rows = _shown(level, LONG, 80)
    assert stage.startswith("├ relayer ")
    assert "…" not in stage
    assert len(rows) == 2
    assert all(row.startswith("│   ") for row in rows)
    assert " ".join(row.removeprefix("│   ") for row in rows) == LONG


def test_where_it_fits_it_stays_on_the_line() -> None:
    (stage,) = _shown(Level.FAILING, "no relayer is active", 80)
    assert stage.endswith("  no relayer is active")
    (wide,) = _shown(Level.FAILING, LONG, 200)
    assert wide.endswith(LONG)


def test_what_is_no_fault_takes_one_line() -> None:
    (stage,) = _shown(Level.SLOW, LONG, 80)
    assert stage.endswith("…")


def test_a_reason_from_elsewhere_is_not_obeyed() -> None:
    text = "\n".join(_shown(Level.STALE, f"API away: \x1b[31m\n{LONG}", 80))
    assert "\x1b" not in text
    assert "\\x1b[31m\\n" in text
