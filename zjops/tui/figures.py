"""Numbers as people read them at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.cells import cell_len, set_cell_size

from zjops.domain.clock import rfc3339
from zjops.domain.requests import LATENCY_BOUNDS_MS
from zjops.domain.text import dollars as dollars
from zjops.domain.text import one_line

BLOCKS = " ▁▂▃▄▅▆▇█"
NONE = "–"
NO_TIME = "no time"
WEI = 10**18


def span(ms: int | float | None) -> str:
    """A duration in at most six characters: `12 ms`, `4.2 s`, `17 m`, `3.1 h`, `12 d`."""
    if ms is None:
        return NONE
    ms = max(0, ms)
    if ms < 1000:
        return f"{ms:.0f} ms"
    for unit, size, most in (("s", 1000, 120), ("m", 60_000, 120), ("h", 3_600_000, 48)):
        value = ms / size
        if value < most:
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{ms / 86_400_000:,.0f} d"


def rate(per_s: float | None) -> str:
    """Events a second: `0`, `0.03`, `4.2`, `1,204`."""
    if per_s is None:
        return NONE
    if per_s == 0 or per_s >= 100:
        return f"{per_s:,.0f}"
    return f"{per_s:.2f}" if per_s < 1 else f"{per_s:.1f}"


def count(number: int | None) -> str:
    """A whole number with its thousands apart."""
    return NONE if number is None else f"{number:,}"


def short(number: int | None) -> str:
    """A whole number in at most six characters: `9,999`, `12.3k`, `4.5M`."""
    if number is None or number < 10_000:
        return count(number)
    for unit, size in (("k", 10**3), ("M", 10**6), ("G", 10**9)):
        value = number / size
        if value < 999.5:
            return f"{value:.1f}{unit}" if value < 99.95 else f"{value:.0f}{unit}"
    return f"{number / 10**12:,.0f}T"


def percent(part: int, whole: int) -> str:
    """A share; never rounded to what it is not: only all is 100 %, and only nothing is 0 %."""
    if whole <= 0:
        return NONE
    if part == whole or part == 0:
        return f"{100 * part // whole} %"
    exact = Decimal(100 * part) / whole
    for digits in (1, 2, 3):
        text = f"{exact:.{digits}f}"
        if 0 < Decimal(text) < 100:
            return f"{text} %"
    return "> 99.999 %" if exact > 50 else "< 0.001 %"


def clock(ms: int | None, *, date: bool = False) -> str:
    """A moment of a day in UTC; what lies outside of every calendar is told as no time."""
    if ms is None:
        return NONE
    try:
        text = rfc3339(ms)
    except (ValueError, OverflowError, OSError):
        return NO_TIME
    return f"{text[:10]} {text[11:19]}Z" if date else f"{text[11:19]}Z"


def coin(wei: int | None) -> str:
    """An amount of the chain's coin, from wei."""
    if wei is None:
        return NONE
    value = Decimal(wei) / WEI
    if value >= 1:
        return f"{value:,.3f}"
    return f"{value:.9f}".rstrip("0").rstrip(".") if wei >= 10**9 else f"{wei:,} wei"


def sparkline(values: Sequence[float], width: int, top: float | None = None) -> str:
    """Values as blocks, the newest at the right; the highest block is the largest value."""
    if width <= 0:
        return ""
    shown = list(values)[-width:]
    most = max(shown, default=0.0) if top is None else top
    if most <= 0:
        return (BLOCKS[1] * len(shown)).rjust(width)
    return "".join(_block(value, most) for value in shown).rjust(width)


def _block(value: float, most: float) -> str:
    return BLOCKS[1] if value <= 0 else BLOCKS[min(8, 2 + int(value / most * 6.999))]


def fitted(series: Sequence[float], width: int) -> list[float]:
    """So many values: repeated where there are fewer, put together where there are more."""
    if len(series) <= width:
        return [series[index * len(series) // width] for index in range(width)] if series else []
    made = [0.0] * width
    for index, value in enumerate(series):
        made[index * width // len(series)] += value
    return made


def chart(values: Sequence[float], height: int, top: float) -> list[str]:
    """Values as columns of blocks, so many lines high; `top` reaches to the upper edge."""
    eighths = [0 if top <= 0 else round(min(1.0, value / top) * height * 8) for value in values]
    eighths = [max(1, part) if value > 0 else part for part, value in zip(eighths, values, strict=True)]
    return [
        "".join(BLOCKS[max(0, min(8, part - 8 * line))] for part in eighths) for line in range(height - 1, -1, -1)
    ]  # fmt: skip


def bar(part: float, width: int) -> str:
    """A share from 0 to 1 as a bar; what is more than whole fills it."""
    filled = min(width, max(0, round(part * width)))
    return "█" * filled + "░" * (width - filled)


def below_ms(histogram: Sequence[int], share_percent: int) -> int | None:
    """The bound within which so many percent of the answers came; None for no answer or beyond all bounds."""
    total, seen = sum(histogram), 0
    for bound, number in zip(LATENCY_BOUNDS_MS, histogram, strict=False):
        seen += number
        if total and seen * 100 >= total * share_percent:
            return bound
    return None


def jobs(number: int) -> str:
    """So many jobs."""
    return f"{number:,} job{'' if number == 1 else 's'}"


def cell(text: str, width: int, *, right: bool = False) -> str:
    """Text of exactly so many columns; what a terminal would obey is spelled out, what is cut ends in `…`."""
    shown = one_line(text)
    size = cell_len(shown)
    if size > width:
        return set_cell_size(shown, width - 1) + "…" if width > 1 else set_cell_size(shown, width)
    return " " * (width - size) + shown if right else shown + " " * (width - size)
