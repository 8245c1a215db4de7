"""Opens the Parquet logs as DuckDB tables: whichever files count now, read where they lie."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from zjops.analytics.faults import told
from zjops.analytics.logfiles import LogFile, files_that_count, read_folder, require_gapless, require_own
from zjops.analytics.schema import LOGS, comments, empty, select
from zjops.analytics.soundness import accepted_bounds, doubtful, require_columns, require_complete
from zjops.analytics.statements import functions, literal, record, sql, views
from zjops.domain.errors import InvariantError, UnreachableError, UsageError, ZjopsError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MEMORY", "THREADS", "Warehouse", "files_that_count", "sql"]

MEMORY = "192MB"
THREADS = 1
T = TypeVar("T")


def _connect(memory: str, threads: int, spill: Path) -> duckdb.DuckDBPyConnection:
    """A database that fetches no extension and sees no variable of the program. Raises `UsageError`."""
    try:
        return duckdb.connect(":memory:", config={
            "memory_limit": memory, "threads": threads, "temp_directory": str(spill),
            "python_enable_replacements": False, "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        })  # fmt: skip
    except duckdb.Error as exc:
        raise UsageError(f"{memory} is no amount of memory; write it as 2GB or 500MB") from exc


def _parquet(files: list[LogFile]) -> str:
    """A table of files. Their names are written out, since a view cannot take parameters."""
    return f"read_parquet({literal([str(file.path) for file in files])}, hive_partitioning=false)"


class Warehouse:
    """The logs of a folder as tables `events`, `ops` and `requests`, and the named views over them.

    `events_once` and `ops_once` hold each event once, whatever the files hold twice. `memory` and `threads` bound
    DuckDB; what does not fit is spilled to a temporary folder. With `whole` a log with a gap is refused; without it,
    what is there is read. `exact` as in `doubtful`. With `through` the event log ends at that sequence, as it once did;
    with `after` it begins behind one; `until` leaves out what has a greater number of the outbox.

    Raises `UnreachableError` when there is no log, `UsageError` that names a file which is damaged or not the log's,
    `InvariantError` that names a missing range.
    """

    def __init__(
        self, log_dir: Path, *, memory: str = MEMORY, threads: int = THREADS, whole: bool = True,
        exact: bool | None = None, through: int | None = None, after: int = 0, until: int | None = None,
    ) -> None:  # fmt: skip
        self.log_dir, self._whole, self._exact, self._through = log_dir, whole, exact, through
        self._after, self._until = after, until
        if not log_dir.is_dir():
            raise UnreachableError(f"there is no log in {log_dir}; has a platform run there?")
        self.files: dict[str, list[LogFile]] = {}
        self.twice: dict[str, list[LogFile]] = {}
        self._bounds: dict[Path, tuple[int, int]] | None = None
        self._spill = Path(tempfile.mkdtemp(prefix="zjops-warehouse-"))
        try:
            self.db = _connect(memory, threads, self._spill)
        except UsageError:
            self._spill.rmdir()
            raise
        try:
            self._again(self._attach)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the database and what it spilled."""
        self.db.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def rows(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """A named statement's rows. A file that compaction took away meanwhile is looked for once more."""
        return self.ask(sql(name), **params)

    def tuples(self, name: str, **params: Any) -> list[tuple[Any, ...]]:
        """A named statement's rows without the names of their columns, for many rows."""
        record(sql(name), params)
        return self._asked(lambda: self.db.execute(sql(name), params or None).fetchall())

    def ask(self, text: str, **params: Any) -> list[dict[str, Any]]:
        """The rows of a statement of this project's own that was put together, not of what a user wrote."""
        record(text, params)
        return self._asked(lambda: self._fetch(text, params))

    def rows_within(
        self, name: str, first_ms: int, after_ms: int, *, once: bool = True, **params: Any
    ) -> list[dict[str, Any]]:  # fmt: skip
        """A named statement's rows over `events_within`: the events of jobs accepted from a moment to before another.

        A file whose statistics say that all of its rows lie within is read without the column that would tell. Without
        `once` an event may stand there twice, for statements that do not mind.
        """

        def work() -> list[dict[str, Any]]:
            self._view("events_within", self._within(first_ms, after_ms, once))
            return self._fetch(sql(name), params)

        table = "events_once" if once else "events"
        span = f"SELECT * FROM {table} WHERE accepted_at >= {int(first_ms)} AND accepted_at < {int(after_ms)}"  # noqa: S608
        record(sql(name).replace("FROM events_within", f"FROM ({span}) AS events_within"), params)
        return self._asked(work)

    def _within(self, first_ms: int, after_ms: int, once: bool) -> str:
        log, files, twice = LOGS["events"], self.files["events"], self.twice.get("events", []) if once else []
        if not files:
            return empty(log)
        span = f"accepted_at >= {int(first_ms)} AND accepted_at < {int(after_ms)}"
        if self._bounds is None:
            self._bounds = accepted_bounds(self.db, files)
        bounds = self._bounds
        inside = [f for f in files if f not in twice and first_ms <= bounds[f.path][0] and bounds[f.path][1] < after_ms]
        outside = [f for f in files if bounds[f.path][1] < first_ms or bounds[f.path][0] >= after_ms]
        edge = [f for f in files if f not in twice and f not in inside and f not in outside]
        parts = [select(log, self._source("events", inside))] if inside else []
        parts += [f"{select(log, self._source('events', edge))} WHERE {span}"] if edge else []
        again = f"({select(log, self._source('events', twice), once=True)})" if twice else ""
        parts += [f"SELECT * FROM {again} WHERE {span}"] if again else []  # noqa: S608 - numbers and files of our own
        return " UNION ALL ".join(parts) or empty(log)

    def frame(self, name: str, **params: Any) -> pl.DataFrame:
        """A named statement's rows as a Polars frame."""
        import polars

        record(sql(name), params)
        return self._asked(lambda: polars.DataFrame(self.db.sql(sql(name), params=params or None)))

    def watermark(self) -> int:
        """Unix ms up to which the log is complete: the time of the newest event in stream order; 0 when empty."""
        return self._asked(self._newest)

    def describe(self) -> None:
        """Write what tables, views and columns hold into the catalogue, where `--schema` and tools find it."""
        for name in LOGS:
            self.db.execute(comments(name))
        for text in views().values():
            for statement in self.db.extract_statements(text)[1:]:
                self.db.execute(statement)

    def lock(self) -> None:
        """From now on nothing but the chosen files can be read, nothing written, and no setting changed."""
        chosen = [str(file.path) for files in self.files.values() for file in files]
        self.db.execute("SET allowed_paths = $1", [chosen]) if chosen else None
        self.db.execute("SET enable_external_access = false")
        self.db.execute("SET lock_configuration = true")

    def _newest(self) -> int:
        if not self.files["events"]:
            return 0
        last = self.files["events"][-1]
        # One row group, as a rule: all of them only where the file's last event is missing.
        for text in ("SELECT max(time) FROM read_parquet($1) WHERE stream_seq = $2",
                     "SELECT arg_max(time, stream_seq) FROM read_parquet($1) WHERE stream_seq <= $2"):  # fmt: skip
            found = self.db.execute(text, [str(last.path), last.last]).fetchone()
            if found and found[0] is not None:
                return int(found[0])
        return 0

    def _fetch(self, text: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        cursor = self.db.execute(text, params or None)
        columns = [column[0] for column in cursor.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def _attach(self) -> None:
        """Choose the files, judge them, and make tables and views of them."""
        self._bounds = None
        for name, log in LOGS.items():
            self.files[name] = files = self._choose(name)
            if files:
                require_columns(self.db, files, log)
            self._view(name, select(log, self._source(name, files)) if files else empty(log))
            if log.gapless:
                self._view(f"{name}_once", self._once(name))
        self.db.execute(functions())
        for text in views().values():
            self.db.execute(self.db.extract_statements(text)[0])

    def _choose(self, name: str) -> list[LogFile]:
        folder = self.log_dir / name
        files = read_folder(folder)
        if self._whole:
            require_own(folder)
            if LOGS[name].gapless:
                require_gapless(files)
        return files

    def _once(self, name: str) -> str:
        """The table with each event once: only the files that may hold one twice are made distinct."""
        files = self.files[name]
        self.twice[name] = twice = doubtful(self.db, files, self._exact) if self._whole else files
        if self._whole:
            require_complete(self.db, twice)
        apart = set(twice)
        plain = [file for file in files if file not in apart]
        parts = [f"({select(LOGS[name], self._source(name, twice), once=True)})"] if twice else []
        parts += [select(LOGS[name], self._source(name, plain))] if plain else []
        return " UNION ALL ".join(parts) if files else empty(LOGS[name])

    def _source(self, name: str, files: list[LogFile]) -> str:
        """The rows of files, of the event log only those that `after`, `through` and `until` let in."""
        bounds = [f"stream_seq > {int(self._after)}"] if self._after else []
        bounds += [] if self._through is None else [f"stream_seq <= {int(self._through)}"]
        bounds += [] if self._until is None else [f"outbox_no <= {int(self._until)}"]
        if not bounds or name != "events":
            return _parquet(files)
        return f"(SELECT * FROM {_parquet(files)} WHERE {' AND '.join(bounds)})"  # noqa: S608 - numbers

    def _view(self, name: str, text: str) -> None:
        self.db.execute(f'CREATE OR REPLACE VIEW "{name}" AS {text}')

    def _asked(self, work: Callable[[], T]) -> T:
        def again() -> T:
            self._attach()
            return work()

        return self._again(work, again)

    def _again(self, work: Callable[[], T], second: Callable[[], T] | None = None) -> T:
        """Do it, and once more when a file of the log was replaced meanwhile."""
        try:
            return work()
        except (duckdb.Error, OSError, InvariantError) as exc:
            if isinstance(exc, duckdb.Error) and not self.gone(exc):
                raise self.told(exc) from exc
        try:
            return (second or work)()
        except (duckdb.Error, OSError) as exc:
            raise self.told(exc) from exc

    def gone(self, error: duckdb.Error) -> bool:
        """Whether a file that was chosen is not there any more."""
        chosen = (file.path for files in self.files.values() for file in files)
        # A name that is no file is tried as a folder, which a locked database may not look into.
        missed = isinstance(error, duckdb.IOException | duckdb.PermissionException)
        return missed and not all(path.exists() for path in chosen)

    def told(self, error: Exception) -> ZjopsError:
        """An error of reading, for people."""
        return told(error, self.log_dir, (file.path for files in self.files.values() for file in files))
