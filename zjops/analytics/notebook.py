"""What notebooks show: sentences and tables as Markdown, charts as SVG. All of it stands in the file itself."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from zjops import __version__
from zjops.analytics.warehouse import Warehouse
from zjops.domain.errors import UsageError
from zjops.domain.synthetic import synthetic_part

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#444444")
"""Okabe and Ito's colours, which people who see few of them can still tell apart; in the order of use."""
PLAN_COLOURS = ("#c6dbef", "#6baed6", "#2171b5", "#08306b")
"""Plans have an order, and so have their colours: the larger the plan the darker."""
TABLE_MOST = 25
"""Rows of a table beyond which nobody reads it; a longer one is a mistake of the notebook."""
NUMERIC = re.compile(r"(\*\*)?[-+]?\$?[\d,.]*( %| s| ms)?(\*\*)?")

SMALL_WORLD = ("--days", "7", "--tenants", "24", "--seed", "7")
"""The synthetic world whose log the shipped outputs are of, as options of `zjops simulate`."""


class Prose:
    """Text that notebooks show as Markdown."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_markdown_(self) -> str:
        # Between two dollars would be a formula.
        return self.text.replace("$", "\\$")

    def __repr__(self) -> str:
        return self.text


def say(*paragraphs: str) -> Prose:
    """Paragraphs of Markdown, with the figures of this log in them; empty ones are left out."""
    return Prose("\n\n".join(filter(None, paragraphs)))


def table(
    rows: pl.DataFrame | Sequence[Mapping[str, Any]], formats: Mapping[str, str | Callable[[Any], str]] | None = None
) -> Prose:
    """Rows as a Markdown table: figures to the right, whole numbers with thousands separators.

    `formats` gives a column's format specification or function; names show a space for `_`. Raises `UsageError` for
    more than `TABLE_MOST` rows.
    """
    found = rows.to_dicts() if isinstance(rows, pl.DataFrame) else [dict(row) for row in rows]
    if len(found) > TABLE_MOST:
        raise UsageError(f"a table of {len(found):,} rows is a dump; show the {TABLE_MOST} that matter")
    if not found:
        return Prose("*(no rows)*")
    names = list(found[0])
    cells = [[_cell(row[name], (formats or {}).get(name)) for name in names] for row in found]
    right = [all(NUMERIC.fullmatch(line[at]) for line in cells) for at in range(len(names))]
    lines = [[name.replace("_", " ") for name in names], ["---:" if one else "---" for one in right], *cells]
    return Prose("\n".join("| " + " | ".join(line) + " |" for line in lines))


def _cell(value: Any, how: str | Callable[[Any], str] | None) -> str:
    if value is None:
        return ""
    if callable(how):
        return how(value)
    if how is None and isinstance(value, bool):
        return "yes" if value else "no"
    text = format(value, how if how is not None else "," if isinstance(value, int) else "")
    return text.replace("|", "\\|")


def percent(share: float, places: int = 0) -> str:
    """A share as people read it: 0.5 is `50 %`."""
    return f"{100 * share:,.{places}f} %"


def listed(words: Sequence[str]) -> str:
    """Words as a sentence lists them: `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def moment(ms: int) -> str:
    """Unix ms as a minute of UTC."""
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def open_log(folder: str | Path) -> Warehouse:
    """The log of a notebook. Raises what `Warehouse` raises, with a word on how to come by a log."""
    return Warehouse(Path(folder).expanduser(), memory="1GB", threads=2)


def reach(log: Warehouse) -> str:
    """Up to when a log is complete, and that it is synthetic where its mark says so, as sentences."""
    told = f"The log is complete to {moment(log.watermark())}."
    part = synthetic_part(log.log_dir)
    if part is None:
        return told
    how = "but the platform's own code did it all" if part.kind == "simulated" else "it was made by arithmetic"
    return (
        f"{told} It is **synthetic** from {part.from_[:10]} to {part.to[:10]} ({part.tenants} tenants, seed "
        f"{part.seed}): nobody did this, {how}."
    )


def small_log() -> str:
    """The folder of the small world's log, which is played once and kept in the user's cache. Raises `UsageError`."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "zjops"
    place = base / f"small-{__version__}"
    if not place.is_dir():
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base, prefix="playing-") as beside:
            play_small_world(Path(beside) / "world")
            shutil.move(Path(beside) / "world", place)
    return str(place / "log")


def play_small_world(folder: Path) -> Path:
    """Play it into a folder that is not there yet; returns its log. Raises `UsageError` with the player's reason."""
    asked = [sys.executable, "-m", "zjops", "simulate", *SMALL_WORLD, "--out", str(folder)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"the small world was not played: {done.stderr.strip().splitlines()[-1:]}")
    return folder / "log"


def drawing(png: str | Path | None = None) -> Callable[[Any, str], Any]:
    """Make Altair draw into the notebook itself, and return `draw(chart, name)` that shows a chart.

    With `png` each chart is also written there, as NAME.png at twice its size. Times are drawn in UTC.
    """
    import altair

    altair.theme.register("zjops", enable=True)(lambda: altair.theme.ThemeConfig(_theme()))
    altair.renderers.enable("svg")
    svg = altair.renderers.get()
    altair.renderers.register("zjops", lambda spec, **given: _own_ids(svg(spec, **given)))
    altair.renderers.enable("zjops")
    folder = None if png is None else Path(png).expanduser()

    def draw(chart: Any, name: str) -> Any:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            chart.save(folder / f"{name}.png", scale_factor=2)
        return chart

    return draw


def _theme() -> dict[str, Any]:
    axis = {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e6e6e6"}
    return {
        "background": "white",
        "config": {
            "view": {"continuousWidth": 640, "continuousHeight": 260, "discreteWidth": 640, "stroke": None},
            "range": {"category": list(PALETTE)}, "mark": {"color": PALETTE[0]}, "line": {"strokeWidth": 2},
            "axis": axis, "legend": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"},
            "title": {
                "anchor": "start", "fontSize": 14, "subtitleFontSize": 12, "subtitleColor": "#555555", "offset": 12,
            },
        },
    }  # fmt: skip


def _own_ids(bundle: dict[str, Any]) -> dict[str, Any]:
    """The same picture with ids of its own: two on one page would else share their clips and gradients."""
    text = bundle["image/svg+xml"]
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'\bid="', f'id="z{mark}-', text)
    text = re.sub(r"url\(#", f"url(#z{mark}-", text)
    return bundle | {"image/svg+xml": re.sub(r'href="#', f'href="#z{mark}-', text)}
