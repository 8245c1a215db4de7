"""Whether the files of a log hold what their names say, each sequence once; judged as cheaply as can be.

First by the files' own statistics, which cost nothing: as many rows as the range is long, from its first to its last.
Then by what stands in the rows: over all files, sum and sum of squares of the sequences equal those of the ranges. Only
files that fail are looked at row by row. Numbers in one stream are given once (C83), so that a sequence stands for its
event; the audit, which takes longer, compares the events themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from zjops.analytics.logfiles import LogFile, overlapping
from zjops.analytics.schema import Log
from zjops.domain.errors import InvariantError, UsageError

ALWAYS = (0, 1 << 62)
EXACT_ROWS = 20_000_000
"""Logs up to this many rows are always summed, which costs about a quarter of a second for each ten million."""

_summed: set[tuple[Path, int, int]] = set()
"""Files by path, size and time that were summed in this process and were found to hold each sequence once."""


def _rows(db: duckdb.DuckDBPyConnection, text: str, paths: Iterable[Path], *more: Any) -> list[tuple[Any, ...]]:
    return db.execute(text, [[str(path) for path in paths], *more]).fetchall()


def require_columns(db: duckdb.DuckDBPyConnection, files: list[LogFile], log: Log) -> None:
    """Raise `UsageError` that names a file without the log's columns, or one that DuckDB cannot open (as its own)."""
    text = "SELECT file_name, name, duckdb_type FROM parquet_schema($1) WHERE duckdb_type IS NOT NULL"
    found: dict[str, dict[str, str]] = {str(file.path): {} for file in files}
    for path, name, kind in _rows(db, text, (file.path for file in files)):
        found[path].setdefault(name, kind)
    for path, columns in found.items():
        for column in log.columns:
            if columns.get(column.name) != column.type:
                has = f"has {columns[column.name]}" if column.name in columns else "lacks it"
                raise UsageError(
                    f"{path} is no file of this log: column {column.name} is {column.type}, the file {has}"
                )


def doubtful(db: duckdb.DuckDBPyConnection, files: list[LogFile], exact: bool | None = None) -> list[LogFile]:
    """The files in which not every sequence of the range stands exactly once.

    `exact` says whether rows are summed or statistics suffice; None sums up to `EXACT_ROWS`.
    """
    shared, honest = overlapping(files), _honest(db, files)
    sound = [file for file in files if file.path in honest and file.path not in shared]
    if exact or (exact is None and sum(file.last - file.first + 1 for file in sound) <= EXACT_ROWS):
        sound = _sums_right(db, sound)
    kept = {file.path for file in sound}
    return [file for file in files if file.path not in kept]


def _honest(db: duckdb.DuckDBPyConnection, files: list[LogFile]) -> set[Path]:
    """The files whose statistics say as many rows as the range is long, from its first to its last."""
    text = """SELECT file_name, sum(row_group_num_rows)::BIGINT,
            min(stats_min_value::BIGINT), max(stats_max_value::BIGINT)
        FROM parquet_metadata($1) WHERE path_in_schema = 'stream_seq' GROUP BY file_name"""
    said = {Path(row[0]): row[1:] for row in _rows(db, text, (file.path for file in files))} if files else {}
    return {f.path for f in files if said.get(f.path) == (f.last - f.first + 1, f.first, f.last)}


def accepted_bounds(db: duckdb.DuckDBPyConnection, files: list[LogFile]) -> dict[Path, tuple[int, int]]:
    """First and last moment of acceptance (Unix ms) by each file's statistics; all of time where they say nothing."""
    text = """SELECT file_name, min(stats_min_value::BIGINT), max(stats_max_value::BIGINT),
        bool_and(stats_max_value IS NOT NULL) FROM parquet_metadata($1) WHERE path_in_schema = 'accepted_at'
        GROUP BY file_name"""
    said = {Path(row[0]): row[1:] for row in _rows(db, text, (file.path for file in files))}
    return {f.path: (said[f.path][0], said[f.path][1]) if f.path in said and said[f.path][2] else ALWAYS for f in files}


def _sums_right(db: duckdb.DuckDBPyConnection, files: list[LogFile]) -> list[LogFile]:
    """The files whose sequences have the sums of their ranges."""
    marks = {file.path: (file.path, (stat := file.path.stat()).st_size, stat.st_mtime_ns) for file in files}
    new = [file for file in files if marks[file.path] not in _summed]
    if new and not _right(db, new):
        new = [file for file in new if _right(db, [file])]
    _summed.update(marks[file.path] for file in new)
    return [file for file in files if marks[file.path] in _summed]


def _right(db: duckdb.DuckDBPyConnection, files: list[LogFile]) -> bool:
    text = "SELECT sum(stream_seq), sum(stream_seq::HUGEINT * stream_seq) FROM read_parquet($1)"
    found = _rows(db, text, (file.path for file in files))[0]
    return found == (sum(map(_sum, files)), sum(map(_squares, files)))


def _sum(file: LogFile) -> int:
    return (file.first + file.last) * (file.last - file.first + 1) // 2


def _squares(file: LogFile) -> int:
    def to(n: int) -> int:
        return n * (n + 1) * (2 * n + 1) // 6

    return to(file.last) - to(file.first - 1)


def require_complete(db: duckdb.DuckDBPyConnection, files: list[LogFile]) -> None:
    """Look at doubtful files row by row. Raises `UsageError` for rows that a file's name does not cover, and
    `InvariantError` for sequences that none of the files holds; what stands twice is no error."""
    for file in files:
        text = "SELECT min(stream_seq), max(stream_seq), count(*) = count(stream_seq) FROM read_parquet($1)"
        low, high, numbered = _rows(db, text, [file.path])[0]
        if not numbered or (low is not None and not file.first <= low <= high <= file.last):
            raise UsageError(f"{file.path} is no file of this log: it holds sequences that its name does not cover")
    for run in _runs(files):
        _require_run(db, run)


def _runs(files: list[LogFile]) -> Iterator[list[LogFile]]:
    """Files in stretches that overlap."""
    run: list[LogFile] = []
    for file in files:
        if run and file.first > run[-1].last:
            yield run
            run = []
        run.append(file)
    if run:
        yield run


def _require_run(db: duckdb.DuckDBPyConnection, run: list[LogFile]) -> None:
    text = """SELECT s + 1, following - 1 FROM (
            SELECT s, lead(s) OVER (ORDER BY s) AS following
            FROM (SELECT stream_seq AS s FROM read_parquet($1) UNION SELECT unnest([$2::BIGINT, $3::BIGINT]))
        ) WHERE following > s + 1 ORDER BY s LIMIT 1"""
    missing = _rows(db, text, (file.path for file in run), run[0].first - 1, run[-1].last + 1)
    if missing:
        first, last = missing[0]
        what = f"{run[0].prefix} {first} is" if first == last else f"{run[0].prefix} {first} to {last} are"
        raise InvariantError(f"log file {run[0].path} has a gap: {what} missing; see what is lost: zjops audit")
