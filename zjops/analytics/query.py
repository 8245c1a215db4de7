"""One SELECT of anybody's over the logs: checked by DuckDB's own parser, run where nothing else can be reached.

A query sees the log's tables and views. It cannot write, nor read another file, the network or a setting: what is not
one SELECT is refused from its syntax tree, and the database that runs it has external access off (but for the log's
files) and its configuration locked.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import duckdb
import msgspec

from zjops.analytics.faults import reason
from zjops.analytics.warehouse import Warehouse
from zjops.domain.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")
MEMORY = "1GB"
TIMEOUT_S = 60.0
LOOK_UP_S = 0.5
READING = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
"""Nodes of a syntax tree that only read; whatever else ends in _NODE writes."""

FUNCTIONS = frozenset({
    "range", "generate_series", "unnest", "repeat", "json_each", "json_tree",
    "duckdb_columns", "duckdb_tables", "duckdb_views", "duckdb_functions", "duckdb_types",
})  # fmt: skip
"""Functions that may stand where a table does: they make rows or describe tables."""

_SIMPLE = frozenset({
    "boolean", "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint",
    "float", "double", "decimal", "varchar", "blob", "date", "timestamp", "uuid", "null",
})  # fmt: skip
_NESTED = frozenset({"list", "array", "struct"})
UNKNOWN = (duckdb.CatalogException, duckdb.BinderException, duckdb.PermissionException)
ONE = "a query is one SELECT"
SEE = "see what there is: zjops query --schema"


class Answer(NamedTuple, Generic[T]):
    """The rows of a query, whether there were more than the limit, and up to which Unix ms the log is complete."""

    columns: list[str]
    rows: T
    more: bool
    watermark: int


def check(db: duckdb.DuckDBPyConnection, text: str) -> None:
    """Raise `UsageError` unless `text` is exactly one SELECT that only reads."""
    try:
        statements = db.extract_statements(text)
    except duckdb.Error as exc:
        raise UsageError(f"the query cannot be read: {reason(exc)}") from exc
    if len(statements) != 1:
        raise UsageError(f"{ONE}; this is {len(statements)} statements")
    if statements[0].type is not duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        raise UsageError(f"{ONE}, not {'several: PIVOT needs ON … IN (…)' if kind == 'MULTI' else kind}")
    for node in _nodes(_tree(db, text)):
        _check_node(node)


def _bare(text: str) -> str:
    """A statement without the semicolon, and comments behind it, that a subquery cannot have."""
    held = text.encode()
    said = [start for start, kind in duckdb.tokenize(text) if kind is not duckdb.token_type.comment]
    return held[: said[-1]].decode() if said and held[said[-1] :].startswith(b";") else text


def _tree(db: duckdb.DuckDBPyConnection, text: str) -> Any:
    row = db.execute("SELECT json_serialize_sql($1)", [text]).fetchone()
    try:
        tree = msgspec.json.decode(row[0] if row else "{}")
    except RecursionError as exc:
        raise UsageError("the query is nested too deeply to be checked") from exc
    if tree.get("error", True):
        raise UsageError(f"{ONE}: {tree.get('error_message', 'it cannot be read')}")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree, however deep."""
    waiting = [tree]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _check_node(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in READING:
        raise UsageError(f"{ONE} that only reads; this has {kind.split('_')[0]} in it")
    if kind == "TABLE_FUNCTION" and node["function"].get("function_name") not in FUNCTIONS:
        raise UsageError(f"a query reads the log's own tables, not {node['function'].get('function_name')}(); {SEE}")


def ask(
    log_dir: Path, text: str, *, limit: int, params: dict[str, Any] | None = None, memory: str = MEMORY,
    threads: int = 1, timeout_s: float = TIMEOUT_S,
) -> Answer[list[dict[str, Any]]]:  # fmt: skip
    """Up to `limit` rows of a query as dictionaries; ids and hashes as hexadecimal text.

    Ctrl-C ends it and is passed on. Raises `UsageError` with DuckDB's reason, and what `Warehouse` raises.
    """
    answer = _ask(log_dir, text, _tuples, limit, params, memory, threads, timeout_s)
    rows = [dict(zip(answer.columns, map(plain, row), strict=True)) for row in answer.rows]
    return Answer(answer.columns, rows, answer.more, answer.watermark)


def ask_frame(
    log_dir: Path, text: str, *, limit: int, params: dict[str, Any] | None = None, memory: str = MEMORY,
    threads: int = 1, timeout_s: float = TIMEOUT_S,
) -> Answer[pl.DataFrame]:  # fmt: skip
    """As `ask`, as a Polars frame with the columns' own types."""
    return _ask(log_dir, text, _frame, limit, params, memory, threads, timeout_s)


def catalogue(log_dir: Path) -> list[dict[str, Any]]:
    """Tables and views with what they hold, each followed by its columns; `column` is None for the table itself."""
    text = """SELECT view_name AS "table", NULL AS "column", NULL AS "type", comment AS meaning, -1 AS place
        FROM duckdb_views() WHERE NOT internal
        UNION ALL SELECT table_name, column_name, data_type, comment, column_index FROM duckdb_columns()
        WHERE NOT internal ORDER BY "table", place"""
    with Warehouse(log_dir) as warehouse:
        warehouse.describe()
        found = warehouse.db.execute(text).fetchall()
    return [dict(zip(("table", "column", "type", "meaning"), row[:4], strict=True)) for row in found]


def plain(value: Any) -> Any:
    """A value as every format can write it."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return value


def _tuples(found: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
    return found.fetchall()


def _frame(found: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    import polars

    return polars.DataFrame(found)


def _ask(
    log_dir: Path, text: str, fetch: Callable[[duckdb.DuckDBPyRelation], Any], limit: int,
    params: dict[str, Any] | None, memory: str, threads: int, timeout_s: float,
) -> Answer[Any]:  # fmt: skip
    for last in (False, True):
        with Warehouse(log_dir, memory=memory, threads=threads) as warehouse:
            check(warehouse.db, text)
            watermark = warehouse.watermark()
            warehouse.lock()
            try:
                work = partial(_run, warehouse.db, text, params, limit, fetch)
                columns, rows = _bounded(warehouse.db, work, timeout_s)
                return Answer(columns, rows[:limit], len(rows) > limit, watermark)
            except duckdb.Error as exc:
                if warehouse.gone(exc) and not last:
                    continue
                raise _refusal(exc, warehouse) from exc
    raise AssertionError("unreachable")


def _run(
    db: duckdb.DuckDBPyConnection, text: str, params: dict[str, Any] | None, limit: int,
    fetch: Callable[[duckdb.DuckDBPyRelation], Any],
) -> tuple[list[str], Any]:  # fmt: skip
    """One row more than the limit tells that there are more. What Python or Polars cannot hold becomes text."""
    found = db.sql(_bare(text), params=params or None).limit(limit + 1)
    names = ['"' + name.replace('"', '""') + '"' for name in found.columns]
    kinds = zip(names, found.types, strict=True)
    shown = [name if _simple(kind) else f"{name}::VARCHAR AS {name}" for name, kind in kinds]
    return list(found.columns), fetch(found.project(", ".join(shown)))


def _simple(kind: Any) -> bool:
    if kind.id in _NESTED:
        return all(_simple(child) for _, child in kind.children if not isinstance(child, int))
    return kind.id in _SIMPLE


def _bounded(db: duckdb.DuckDBPyConnection, work: Callable[[], T], timeout_s: float) -> T:
    """Do it in a thread, so that neither time nor Ctrl-C has to wait for it."""
    done: list[T] = []
    failed: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            done.append(work())
        except BaseException as exc:  # raised again below
            failed.append(exc)
        ended.set()

    try:
        threading.Thread(target=run, name="query", daemon=True).start()
        late = not _ended_within(ended, timeout_s)
    finally:
        _end(db, ended)
    if late and not done:
        raise UsageError(f"the query took longer than {timeout_s:g} s; give it more by --timeout")
    if failed:
        raise failed[0]
    return done[0]


def _ended_within(ended: threading.Event, timeout_s: float) -> bool:
    """Wait, and look up now and then: a Ctrl-C just before the lock is waited for is heard only after that."""
    left_s = timeout_s
    while left_s > 0 and not ended.wait(min(LOOK_UP_S, left_s)):
        left_s -= LOOK_UP_S
    return ended.is_set()


def _end(db: duckdb.DuckDBPyConnection, ended: threading.Event) -> None:
    """Interrupt what runs until it has ended, however often Ctrl-C is pressed: the database cannot be let go before."""
    while not ended.is_set():
        with contextlib.suppress(KeyboardInterrupt):
            db.interrupt()
            ended.wait(0.1)


def _refusal(error: duckdb.Error, warehouse: Warehouse) -> Exception:
    """Why a query failed; a file of the log that is damaged is named."""
    found = warehouse.told(error)
    if not isinstance(found, UnreachableError):
        return found
    hint = f"; {SEE}" if isinstance(error, UNKNOWN) else ""
    return UsageError(f"the query failed: {reason(error)}{hint}")
