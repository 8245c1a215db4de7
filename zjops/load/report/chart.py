"""Lines over time as SVG, drawn here so that a page needs nothing from anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 860, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 28
COLOURS = ("#2563eb", "#d97706", "#dc2626", "#059669", "#7c3aed", "#0891b2")


At = Callable[[float, float], tuple[float, float]]


class Series(NamedTuple):
    """A line: its name and its points, each a second and a value; None breaks the line."""

    name: str
    points: Sequence[tuple[float, float | None]]


class Band(NamedTuple):
    """A stretch of time with a name, such as a phase; shaded when it is apart from the rest."""

    name: str
    start: float
    end: float
    shaded: bool = False


def nice(most: float) -> float:
    """A round number that is not less."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= most * 0.999999)


def chart(title: str, unit: str, series: Sequence[Series], bands: Sequence[Band] = ()) -> str:
    """A chart with its axes and its legend."""
    xs = [x for one in series for x, _ in one.points] + [band.end for band in bands]
    ys = [y for one in series for _, y in one.points if y is not None]
    last, most = max(xs, default=1.0) or 1.0, nice(max(ys, default=1.0))

    def at(x: float, y: float) -> tuple[float, float]:
        return (LEFT + x / last * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / most * (HEIGHT - TOP - BOTTOM))

    parts = [_bands(bands, at, most), _axes(at, last, most, unit)]
    parts += [_line(one, at, COLOURS[number % len(COLOURS)]) for number, one in enumerate(series)]
    legend = " ".join(
        f'<span><i style="background:{COLOURS[number % len(COLOURS)]}"></i>{escape(one.name)}</span>'
        for number, one in enumerate(series)
    )
    label = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}"'
    return (
        f"<figure><figcaption>{escape(title)} <small>{legend}</small></figcaption>"
        f"<svg {label}>{''.join(parts)}</svg>"
        "</figure>"
    )


def _bands(bands: Sequence[Band], at: At, most: float) -> str:
    made = []
    for band in bands:
        (left, top), (right, bottom) = at(band.start, most), at(band.end, 0)
        if band.shaded:
            made.append(f'<rect class="band" x="{left:.1f}" y="{top:.1f}" width="{max(0.0, right - left):.1f}" '
                        f'height="{bottom - top:.1f}"/>')  # fmt: skip
        made.append(f'<line class="edge" x1="{left:.1f}" x2="{left:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        if right - left > 40:
            made.append(f'<text class="phase" x="{left + 4:.1f}" y="{top + 10:.1f}">{escape(band.name)}</text>')
    return "".join(made)


def _axes(at: At, last: float, most: float, unit: str) -> str:
    made = []
    for tick in range(5):
        value = most * tick / 4
        x, y = at(0, value)
        made.append(f'<line class="grid" x1="{x:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        made.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:,.6g}</text>')
    for tick in range(6):
        second = last * tick / 5
        x, y = at(second, 0)
        made.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{second:,.0f} s</text>')
    made.append(f'<text x="{LEFT + 4}" y="{HEIGHT - BOTTOM - 4}" class="unit">{escape(unit)}</text>')
    return "".join(made)


def _line(one: Series, at: At, colour: str) -> str:
    runs: list[list[str]] = [[]]
    for x, y in one.points:
        if y is None:
            runs.append([])
        else:
            px, py = at(x, y)
            runs[-1].append(f"{px:.1f},{py:.1f}")
    made = []
    for run in runs:
        if len(run) == 1:
            made.append(f'<circle cx="{run[0].split(",")[0]}" cy="{run[0].split(",")[1]}" r="2" fill="{colour}"/>')
        elif run:
            made.append(f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    return "".join(made)
