"""Rendering in one place: data on the standard output in the asked format, talk on the error stream."""

from __future__ import annotations

import csv
import enum
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from zjops.cli.text import one_line, plain, plain_json
from zjops.domain.errors import UsageError

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

FOLDS_FROM = 24
"""A longer cell may be folded when a terminal is narrow."""
GAP = 2
WHOLE = frozenset({"jobId", "client id", "name", "tenant"})


class Format(enum.StrEnum):
    """How data is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MD = "md"
    PARQUET = "parquet"


class Out:
    """The output of one command."""

    def __init__(self, output: Format = Format.TABLE, json: bool = False, quiet: bool = False) -> None:
        self.format = Format.JSON if json else output
        self.quiet = quiet
        self._tables = 0
        if self.format is Format.PARQUET and sys.stdout.isatty():
            raise UsageError("parquet is for a file or a pipe, not for a terminal; add: > rows.parquet")

    def say(self, text: str) -> None:
        """Talk, unless asked to be quiet."""
        if not self.quiet:
            print(plain(text), file=sys.stderr, flush=True)

    def rows(
        self, schema: str, rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None, *,
        people: Sequence[dict[str, Any]] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """A table: columns are those of the first row unless said, which they must be where there may be no row.

        `people` are the same rows for a table that is read, with fewer and shorter cells; `more` are members that JSON
        has beside the rows.
        """
        if people is not None and self.format is Format.TABLE:
            rows, columns = people, None
        names = list(columns or (rows[0] if rows else ()))
        if self.format is Format.JSON:
            self._json({"schema": schema, "rows": rows} | more)
        elif self.format is Format.JSONL:
            for row in rows:
                self._line(row)
        elif not names and self.format in (Format.CSV, Format.MD):
            return
        elif self.format is Format.CSV:
            self._write_csv(rows, names)
        elif self.format is Format.MD:
            print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
            for row in rows:
                cells = (one_line(_cell(row.get(name))).replace("|", "\\|") for name in names)
                print("| " + " | ".join(cells) + " |")
        elif self.format is Format.PARQUET:
            self.frame(_frame(rows, names))
        else:
            self._table(rows, names)

    def stream(
        self, schema: str, rows: Iterable[dict[str, Any]], columns: Sequence[str],
        brief: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:  # fmt: skip
        """Rows that come page by page, each written as it comes where the form lets it: as JSON lines and as CSV.

        `columns` are those of CSV and Markdown, `brief` makes the row of a table that is read.
        """
        if self.format is Format.JSONL:
            for row in rows:
                self._line(row)
        elif self.format is Format.CSV:
            self._write_csv(rows, columns)
        elif self.format is Format.TABLE:
            # Of a row that will be read nothing else is kept.
            self.rows(schema, [brief(row) for row in rows])
        else:
            self.rows(schema, list(rows), columns if self.format is Format.MD else None)

    @staticmethod
    def _write_csv(rows: Iterable[dict[str, Any]], names: Sequence[str]) -> None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow([plain(_cell(row.get(name))) for name in names])

    def preview(self, lines: Iterable[str], *, agreed: bool) -> None:
        """What is about to be done: talk, but shown to whoever is asked to agree to it, however quiet they like it."""
        if self.quiet and agreed:
            return
        for line in lines:
            print(plain(line), file=sys.stderr, flush=True)

    def done(self, schema: str, text: str, **record: Any) -> None:
        """What was done: a sentence for people, its facts for programs."""
        if self.format is Format.TABLE:
            self.text(text)
        else:
            self.record(schema, record)

    def record(self, schema: str, record: dict[str, Any], people: dict[str, str] | None = None) -> None:
        """One thing: its members beneath each other; `people` is the same for a table that is read."""
        if people is not None and self.format is Format.TABLE:
            width = max(map(len, people))
            self.text("\n".join(f"{name:<{width}}  {one_line(value)}" for name, value in people.items()))
        elif self.format is Format.JSON:
            self._json({"schema": schema} | record)
        elif self.format is Format.JSONL:
            self._line({"schema": schema} | record)
        elif self.format is Format.PARQUET:
            self.rows(schema, [record])
        else:
            self.rows(schema, [{"field": name, "value": value} for name, value in record.items()], ["field", "value"])

    def frame(self, frame: pl.DataFrame) -> None:
        """A frame as the one Parquet file that the output is. Raises `UsageError` for a second one."""
        self._tables += 1
        if self._tables > 1:
            raise UsageError("this has more tables than one, a parquet file has one; take -o json")
        made = io.BytesIO()
        frame.write_parquet(made)
        sys.stdout.buffer.write(made.getvalue())
        sys.stdout.buffer.flush()

    def document(self, document: msgspec.Struct) -> None:
        """A document of the API or for others, as JSON with its own members."""
        self._json(document)

    def text(self, text: str) -> None:
        """Data that is text already."""
        print(plain(text))

    def _json(self, value: Any) -> None:
        print(plain_json(msgspec.json.format(msgspec.json.encode(value, order=None), indent=2).decode()))

    def line(self, schema: str, record: dict[str, Any]) -> None:
        """One thing of many that come over time, as JSON on a line of its own."""
        self._line({"schema": schema} | record)

    def _line(self, value: Any) -> None:
        print(plain_json(msgspec.json.encode(value).decode()), flush=True)

    def _table(self, rows: Sequence[dict[str, Any]], names: list[str]) -> None:
        cells = [[one_line(_cell(row.get(name))) for name in names] for row in rows]
        if not rows:
            self.say("nothing to show")
        elif sys.stdout.isatty():
            _draw(names, cells)
        else:
            widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
            for line in [names, *cells]:
                print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _draw(names: list[str], cells: list[list[str]]) -> None:
    """A table for a terminal; where that is too narrow, its columns beneath each other in several tables."""
    from rich.console import Console

    screen = Console(no_color="NO_COLOR" in os.environ, highlight=False, markup=False, soft_wrap=False)
    columns = list(zip(*cells, strict=True))
    wide = [max(map(len, column)) for column in columns]
    least = [
        size if name in WHOLE or size <= FOLDS_FROM else min(max(FOLDS_FROM, _longest(column)), screen.width)
        for name, size, column in zip(names, wide, columns, strict=True)
    ]
    folds = [part < size for part, size in zip(least, wide, strict=True)]
    if sum(map(max, wide, map(len, names))) + GAP * (len(names) - 1) > screen.width:
        names = list(map(_heading, names, least))
    least = [max(size, _longest([name])) for size, name in zip(least, names, strict=True)]
    for number, part in enumerate(_parts(least, screen.width)):
        if number:
            screen.print()
        # Two ids that do not fit beside each other are folded: better than cut off.
        fits = sum(least[i] + GAP for i in part) - GAP <= screen.width
        heads = [(names[i], fits and not folds[i]) for i in part]
        _draw_part(screen, heads, [[line[i] for i in part] for line in cells])


def _longest(cells: Iterable[str]) -> int:
    return max((len(word) for cell in cells for word in cell.split()), default=0)


def _heading(name: str, width: int) -> str:
    """A column's name on as many lines as it needs to be no wider than its cells, but for its longest word."""
    lines = [""]
    for word in re.findall("[^_ ]+[_ ]?|[_ ]", name):
        if lines[-1] and len(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _parts(widths: list[int], width: int) -> list[list[int]]:
    """Columns that fit beside each other; the first, which says whose the row is, stands in every part."""
    parts, used = [[0]], widths[0]
    for column, size in list(enumerate(widths))[1:]:
        if used + GAP + size > width and parts[-1] != [0]:
            parts.append([0])
            used = widths[0]
        parts[-1].append(column)
        used += GAP + size
    return parts


def _draw_part(screen: Console, columns: list[tuple[str, bool]], cells: list[list[str]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name, whole in columns:
        # An id or a number that is cut in two can be neither read nor copied.
        table.add_column(name, overflow="fold", no_wrap=whole)
    for line in cells:
        table.add_row(*line)
    screen.print(table)


def _frame(rows: Sequence[dict[str, Any]], names: list[str]) -> pl.DataFrame:
    """Rows with a type for each column; what has none, such as mixed or nested values, becomes text."""
    import polars

    return polars.DataFrame({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pl.Series:
    import polars

    held = [value for value in values if value is not None]
    kinds = {type(value) for value in held}
    whole = kinds == {int} and all(-(2**63) <= value < 2**63 for value in held)
    if whole or (len(kinds) == 1 and kinds <= {bool, float, str}):
        return polars.Series(values)
    return polars.Series([None if value is None else _cell(value) for value in values], dtype=polars.String)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)
