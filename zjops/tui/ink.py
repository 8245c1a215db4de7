"""Drawing with words and styles: a line is spans of text, a style names what something means and never a colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content

from zjops.domain.text import one_line
from zjops.tui.health import GLYPHS, Level

PLAIN, DIM, BOLD = "", "$muted", "bold"
GOOD, WARN, BAD = "$success", "$warning", "bold $error"
HEAD, SPARK, LINK = "bold $primary", "$accent", "$primary"
CHOSEN = "reverse bold"
Span = tuple[str, str]
Line = list[Span]

LEVEL_STYLES = {
    Level.OK: GOOD, Level.SLOW: WARN, Level.FAILING: BAD, Level.STALE: BAD, Level.IDLE: DIM, Level.UNKNOWN: DIM,
}  # fmt: skip
STATES = {
    "pending": ("○", PLAIN), "processing": ("◐", LINK), "completed": ("◕", GOOD), "confirmed": ("●", GOOD),
    "failed": ("✖", BAD), "cancelled": ("⊘", DIM),
}  # fmt: skip
BATCH_STATES = {"closed": ("○", PLAIN), "sent": ("◔", LINK), "mined": ("◑", LINK), "final": ("●", GOOD)}


def level_span(level: Level) -> Span:
    """A health as glyph and word."""
    return f"{GLYPHS[level]} {level.value}", LEVEL_STYLES[level]


def state_span(state: str) -> Span:
    """A job's state as glyph and word."""
    glyph, style = STATES.get(state, ("?", PLAIN))
    return f"{glyph} {state}", style


def content(lines: Iterable[Sequence[Span]]) -> Content:
    """Lines as Textual draws them: text is never read as markup, and what a terminal would obey is spelled out."""
    drawn = [Content.assemble(*((one_line(text), style) for text, style in line)) for line in lines]
    return Content("\n").join(drawn)


def width_of(line: Sequence[Span]) -> int:
    """How many columns a line takes."""
    return sum(Content(one_line(text)).cell_length for text, _ in line)


def beside(left: Sequence[Line], right: Sequence[Line], width: int, gap: int = 3) -> list[Line]:
    """Two blocks next to each other, the left one so wide."""
    made: list[Line] = []
    for index in range(max(len(left), len(right))):
        line: Line = list(left[index]) if index < len(left) else []
        if index < len(right):
            line.append((" " * max(gap, width + gap - width_of(line)), PLAIN))
            line += right[index]
        made.append(line)
    return made


def title(text: str, note: str = "") -> Line:
    """The title of a block, with what it covers."""
    return [(text, HEAD), (f"  {note}" if note else "", DIM)]
