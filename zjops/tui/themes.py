"""Themes: dark, light, and sixteen colours of either for terminals that have no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.filter import NoColor
from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="dark", primary="#7FB4FF", secondary="#9AA7C7", accent="#56C8D8", foreground="#D7DCE5", background="#11151C",
    surface="#171C25", panel="#1F2632", success="#7BD88F", warning="#F2C14E", error="#FF7A85", dark=True,
    variables={"muted": "#8491A8"},
)  # fmt: skip
LIGHT = Theme(
    name="light", primary="#1F4FA8", secondary="#4A5674", accent="#0B6E7A", foreground="#1B2230", background="#FBFBF9",
    surface="#F1F2EF", panel="#E4E6E2", success="#1D6B34", warning="#8A5A00", error="#B3202E", dark=False,
    variables={"muted": "#69728A"},
)  # fmt: skip


def _sixteen(name: str, base: str) -> Theme:
    """The terminal's own sixteen colours, with one for what counts less."""
    theme = BUILTIN_THEMES[base]
    return replace(theme, name=name, variables=theme.variables | {"muted": "ansi_bright_black"})


SIXTEEN, SIXTEEN_LIGHT = _sixteen("16", "ansi-dark"), _sixteen("16-light", "ansi-light")
OURS = {theme.name: theme for theme in (DARK, LIGHT, SIXTEEN, SIXTEEN_LIGHT)}
"""What `--theme` and `:theme` take, in the order in which `t` goes through them."""


def usual(environ: Mapping[str, str]) -> str:
    """The theme for a terminal that says this of itself; a light background where it tells so (COLORFGBG)."""
    light = environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
    rich = environ.get("COLORTERM") in ("truecolor", "24bit") or "256color" in environ.get("TERM", "")
    if rich:
        return LIGHT.name if light else DARK.name
    return SIXTEEN_LIGHT.name if light else SIXTEEN.name


class KeptPlain(NoColor):
    """Takes away a terminal's own colours, of which Textual's greys know no more than that they are black."""

    def __init__(self, app: App[Any]) -> None:
        super().__init__()
        self._app = app

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same text, bold and reversed as before; other themes become grey elsewhere."""
        return super().apply(segments, background) if self._app.native_ansi_color else segments


def keep_plain(app: App[Any]) -> None:
    """Keep `NO_COLOR` under every theme: Textual settles how before it knows the theme."""
    if app.no_color:
        app._filters.append(KeptPlain(app))
