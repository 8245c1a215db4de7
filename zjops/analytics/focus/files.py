"""FOCUS files: CSV and Parquet, written and read. A number that was written is read back as it was."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from zjops.analytics.focus.columns import Spec
from zjops.domain.clock import parse_rfc3339, rfc3339
from zjops.domain.errors import UsageError

DECIMALS = 18
PARQUET_MAGIC = b"PAR1"


class Table(NamedTuple):
    """A FOCUS file: its columns, its rows as text or None, the line or row number of each, and Parquet's types."""

    columns: list[str]
    rows: list[dict[str, str | None]]
    lines: list[int]
    types: dict[str, str]


def column_order(rows: Sequence[dict[str, Any]]) -> list[str]:
    """FOCUS's columns by name, then custom ones."""
    return sorted(rows[0], key=lambda name: (name.startswith("x_"), name)) if rows else []


def to_text(value: object) -> str | None:
    """A value as FOCUS's formats have it: no exponent, no sign for positive numbers, UTC times to the second."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f")
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return rfc3339(round(moment.timestamp() * 1000)).replace(".000Z", "Z")
    return str(value)


def table_of(rows: Sequence[dict[str, Any]]) -> Table:
    """Rows as a file of them would be read."""
    names = column_order(rows)
    texts = [{name: to_text(row.get(name)) for name in names} for row in rows]
    return Table(names, texts, list(range(2, len(rows) + 2)), {})


def write_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as CSV; a null is nothing between the commas."""
    table, text = table_of(rows), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([row[name] for name in table.columns] for row in table.rows)
    return text.getvalue().encode()


def write_parquet(rows: Sequence[dict[str, Any]], spec: Spec) -> bytes:
    """Rows as Parquet: decimals of 38 digits, times in UTC, everything else text."""
    import polars as pl

    kinds = {"Decimal": pl.Decimal(38, DECIMALS), "Date/Time": pl.Datetime("ms", "UTC")}
    made: dict[str, Any] = {}
    for name in column_order(rows):
        column = spec.columns.get(name)
        kind = kinds.get(column.type if column else "Decimal" if name in ("x_InvoiceTotal", "x_LineNumber") else "")
        values = [_typed(row.get(name), column.type if column else "") for row in rows]
        made[name] = pl.Series(name, values, dtype=kind or pl.String)
    out = io.BytesIO()
    pl.DataFrame(made).write_parquet(out)
    return out.getvalue()


def _typed(value: Any, kind: str) -> Any:
    return dt.datetime.fromtimestamp(parse_rfc3339(value) / 1000, dt.UTC) if value and kind == "Date/Time" else value


def read_table(path: Path) -> Table:
    """A FOCUS file, by its content. Raises `UsageError` that names file and line when it is none."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror})") from exc
    return _read_parquet(path, data) if data[:4] == PARQUET_MAGIC else _read_csv(path, data)


def _read_csv(path: Path, data: bytes) -> Table:
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        names = next(reader, [])
        if not names or len(set(names)) < len(names):
            raise UsageError(f"{path}, line 1: a FOCUS file begins with the names of its columns, each once")
        rows, lines, line = list[dict[str, str | None]](), list[int](), reader.line_num + 1
        for cells in reader:
            if len(cells) != len(names):
                raise UsageError(f"{path}, line {line}: {len(cells)} cells, the file has {len(names)} columns")
            rows.append({name: cell or None for name, cell in zip(names, cells, strict=True)})
            lines.append(line)
            line = reader.line_num + 1
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is no text: {exc}") from exc
    except csv.Error as exc:
        raise UsageError(f"{path}, line {reader.line_num}: {exc}") from exc
    return Table(names, rows, lines, {})


def _read_parquet(path: Path, data: bytes) -> Table:
    import polars as pl

    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as exc:
        raise UsageError(f"{path} is damaged: {str(exc).splitlines()[0]}") from exc
    rows = [{name: to_text(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]
    return Table(frame.columns, rows, list(range(1, len(rows) + 1)), {n: str(t) for n, t in frame.schema.items()})
