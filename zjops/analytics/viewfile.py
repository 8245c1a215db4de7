"""The warehouse as one SQL file, so that plain DuckDB and any notebook read the same tables and views.

The file chooses the log's files when it is read, by the same rule, so that it stays right while files are compacted and
added; reading it again looks again. Gaps and damage are what zjops itself looks for.
"""

from __future__ import annotations

from pathlib import Path

from zjops.analytics.logfiles import read_folder
from zjops.analytics.schema import LOGS, comments, empty, select
from zjops.analytics.statements import Asked, Expression, functions, rendered, sql, views

HEAD = """-- Tables and views over the logs in {folder}, made by: zjops export views
-- Read it with: duckdb -init views.sql, or duckdb.connect().execute(open("views.sql").read())
"""


def views_sql(log_dir: Path) -> str:
    """Statements that make every table, view and comment of the warehouse over the logs of a folder."""
    folder = log_dir.absolute()
    tables = [_table(folder, name) for name in LOGS]
    return "\n".join([HEAD.format(folder=folder), *tables, functions(), *views().values()])


def _table(folder: Path, name: str) -> str:
    log = LOGS[name]
    if not read_folder(folder / name):
        once = f'CREATE OR REPLACE VIEW "{name}_once" AS FROM "{name}";\n' if log.gapless else ""
        note = f"-- The folder holds no {name} yet; export again once it does.\n"
        return f'{note}CREATE OR REPLACE VIEW "{name}" AS {empty(log)};\n{once}{comments(name)}\n'
    paths, files = f"getvariable('zjops_{name}')", f"getvariable('zjops_{name}_files')"
    source = f"read_parquet({paths}, hive_partitioning = false)"
    chosen = rendered(Asked(sql("files_of_log"), {"pattern": f"{folder}/{name}/date=*/*.parquet"}))
    parts = [
        f"SET VARIABLE zjops_{name}_files = (\n{chosen}\n);",
        f"SET VARIABLE zjops_{name} = list_transform({files}, lambda f: f.file);",
        f'CREATE OR REPLACE VIEW "{name}" AS {select(log, source)};',
        *([_once(name, paths, files)] if log.gapless else []),
        comments(name),
    ]
    return "\n".join(parts) + "\n"


def _once(name: str, paths: str, files: str) -> str:
    """The table of each event once; what need not be made distinct is not, as in the warehouse."""
    log, sound = LOGS[name], f"getvariable('zjops_{name}_sound')"
    plain = select(log, f'"{name}" WHERE {sound}')
    distinct = select(log, f'"{name}" WHERE NOT {sound}', once=True)
    judged = rendered(Asked(sql("each_once"), {"paths": Expression(paths), "files": Expression(files)}))
    return (
        f"SET VARIABLE zjops_{name}_sound = (\n{judged}\n);\n"
        f'CREATE OR REPLACE VIEW "{name}_once" AS {plain} UNION ALL ({distinct});'
    )
