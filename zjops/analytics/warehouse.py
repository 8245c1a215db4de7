"""Opens the Parquet logs as DuckDB tables: whichever files count now, read where they lie."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from zjops.domain.errors import UnreachableError

MEMORY = "192MB"
THREADS = 1
_NAME = re.compile(r"\w+-(\d{20})-(\d{20})\.parquet")
TABLES = ("events", "ops")


@cache
def sql(name: str) -> str:
    """A statement from its file."""
    return (resources.files("zjops.analytics") / "sql" / f"{name}.sql").read_text()


def files_that_count(folder: Path) -> list[Path]:
    """The files of a log, without those whose range of sequences lies inside another's (they were compacted)."""
    ranges = []
    for path in folder.glob("date=*/*.parquet"):
        found = _NAME.fullmatch(path.name)
        if found is not None:
            ranges.append((int(found[1]), -int(found[2]), path))
    chosen: list[Path] = []
    covered = 0
    for _, negative_last, path in sorted(ranges):
        if -negative_last > covered:
            chosen.append(path)
            covered = -negative_last
    return chosen


class Warehouse:
    """The logs of a folder as tables `events` and `ops`. Raises `UnreachableError` when there are none."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        if not log_dir.is_dir():
            raise UnreachableError(f"there is no log in {log_dir}; has a platform run there?")
        self._db = duckdb.connect(":memory:", config={"memory_limit": MEMORY, "threads": THREADS})
        self._attach()

    def _attach(self) -> None:
        for table in TABLES:
            paths = [str(path) for path in files_that_count(self._log_dir / table)]
            if paths:
                listed = "[" + ", ".join("'" + p.replace("'", "''") + "'" for p in paths) + "]"
                # The names are our own files'; a view cannot take parameters.
                source = f"SELECT * FROM read_parquet({listed}, hive_partitioning=false, union_by_name=true)"  # noqa: S608
                self._db.execute(f"CREATE OR REPLACE VIEW {table} AS {source}")
            else:
                self._db.execute(f"CREATE OR REPLACE VIEW {table} AS {_EMPTY[table]}")

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """A named statement's rows. A file that compaction took away meanwhile is looked for once more."""
        for last in (False, True):
            try:
                cursor = self._db.execute(sql(name), params or None)
                columns = [column[0] for column in cursor.description or ()]
                return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            except duckdb.IOException as exc:
                if last:
                    raise UnreachableError(f"log {self._log_dir}: {exc}") from exc
                self._attach()
            except duckdb.Error as exc:
                raise UnreachableError(f"log {self._log_dir} cannot be read: {str(exc).splitlines()[0]}") from exc
        raise AssertionError("unreachable")


_EMPTY = {
    "events": """SELECT NULL::BLOB event_id, 0::BIGINT outbox_no, 0::BIGINT stream_seq, '' "type", 0::BIGINT "time",
        '' tenant, '' plan, NULL::BLOB job_id, '' job_type, 0::BIGINT accepted_at, 0::BIGINT payload_bytes,
        0::BIGINT compute_units, '' charge, '' status, '' error_code, 0 attempt, 0::BIGINT processing_ms,
        0::BIGINT batch_id, 0::BIGINT chain_sequence, 0 leaf_index, NULL::BLOB tx_hash, 0::BIGINT block_number,
        NULL::BLOB block_hash, 0::BIGINT gas_share, '' traceparent WHERE false""",
    "ops": """SELECT NULL::BLOB event_id, 0::BIGINT outbox_no, 0::BIGINT stream_seq, 0::BIGINT "time", '' kind,
        '' actor, '' "action", '' tenant, '' reason, '' "values" WHERE false""",
}
