"""Several tables as one answer of a command."""

from __future__ import annotations

from typing import Any

from zjops.cli.output import Format, Out


def show_tables(
    out: Out, schema: str, head: dict[str, Any], tables: dict[str, list[dict[str, Any]]],
    titles: dict[Any, str], chosen: str | None,
) -> None:  # fmt: skip
    """Several tables as one answer: all of them in JSON and for people, one of them where rows are written."""
    from zjops.analytics.figures import readable

    if out.format is Format.JSON and chosen is None:
        out.record(f"{schema}/1", head | tables)
        return
    plain = out.format in (Format.TABLE, Format.MD)
    names = [chosen] if chosen else list(tables) if plain else list(tables)[:1]
    for name in names:
        if len(names) > 1 and out.format is Format.MD:
            out.text(f"{'' if name == names[0] else chr(10)}## {titles[name]}\n")
        elif len(names) > 1:
            out.say(f"{'' if name == names[0] else chr(10)}{titles[name]}")
        out.rows(f"{schema}-{name}/1", [readable(row) for row in tables[name]] if plain else tables[name])
    if len(names) < len(tables) and chosen is None:
        out.say("the other tables: --table " + ", ".join(name for name in tables if name not in names))
