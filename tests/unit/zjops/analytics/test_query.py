"""Queries: what is no single SELECT is refused, nothing but the log is reached, time and rows are bounded."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.zjops.analytics.logs import events, write
from zjops.analytics import query as queries
from zjops.analytics.query import ask, ask_frame, catalogue, check, plain
from zjops.analytics.statements import Asked, Expression, literal, recording, rendered
from zjops.analytics.warehouse import Warehouse
from zjops.domain.errors import UnreachableError, UsageError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Nine charged jobs in two files."""
    write(tmp_path / "log", "events", events(1, 5))
    write(tmp_path / "log", "events", events(6, 9, tenant="beta"))
    return tmp_path / "log"


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database."""
    with duckdb.connect() as made:
        yield made


def rows(log: Path, text: str, limit: int = 100, **params: Any) -> list[dict[str, Any]]:
    """The rows of a query."""
    return ask(log, text, limit=limit, params=params).rows


@pytest.mark.parametrize(
    "text",
    [
        "SELECT sum(jobs) AS n FROM usage_daily", "FROM (SELECT sum(jobs) AS n FROM usage_daily)",
        "WITH a AS (SELECT * FROM charged_jobs) SELECT count(*) AS n FROM a;", "(SELECT 9 AS n)", "VALUES (9)",
        "SELECT 9 AS n -- ; DROP VIEW events", "SELECT 9 AS n; -- é;", "-- ;\nSELECT 9 AS n /* ; */ ;\n",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT max(n) AS n FROM t",
        "SELECT count(*) AS n FROM range(9)",
        "SELECT 4 AS n UNION SELECT 9 ORDER BY 1 DESC LIMIT 1",
    ],
)  # fmt: skip
def test_one_select_is_answered_however_it_is_written(log: Path, text: str) -> None:
    assert list(rows(log, text)[0].values()) == [9]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "this is 0 statements"), ("-- only a comment", "this is 0 statements"),
        ("SELECT 1; SELECT 2", "this is 2 statements"), ("SELECT 1; DROP VIEW events", "this is 2 statements"),
        ("SELEC 1", "cannot be read: Parser Error"), ("SELECT", "cannot be read: Parser Error"),
        ("COPY events TO 'x.csv'", "not COPY"), ("DROP VIEW events", "not DROP"),
        ("CREATE TABLE t(a INT)", "not CREATE"),
        ("INSERT INTO t VALUES (1)", "not INSERT"), ("DELETE FROM t", "not DELETE"),
        ("UPDATE t SET a = 1", "not UPDATE"),
        ("SET memory_limit = '9GB'", "not SET"), ("ATTACH 'x.db'", "not ATTACH"), ("INSTALL httpfs", "not LOAD"),
        ("PRAGMA version", "not PRAGMA"), ("CALL pragma_version()", "not CALL"), ("EXPLAIN SELECT 1", "not EXPLAIN"),
        ("EXPORT DATABASE 'x'", "not EXPORT"), ("PREPARE p AS SELECT 1", "not PREPARE"), ("CHECKPOINT", "not "),
        ("PIVOT events ON type", "PIVOT needs"), ("BEGIN", "not TRANSACTION"),
        ("WITH x AS (INSERT INTO t VALUES (1) RETURNING *) FROM x", "has INSERT in it"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT 1", "has DELETE in it"),
        ("SELECT (WITH x AS (UPDATE t SET a = 1 RETURNING *) SELECT count(*) FROM x)", "has UPDATE in it"),
        ("SELECT * FROM read_csv('/etc/hosts')", r"own tables, not read_csv\(\); see what .* --schema"),
        ("SELECT (SELECT count(*) FROM glob('/*'))", r"not glob\(\)"), ("FROM query('SELECT 1')", r"not query\(\)"),
        ("FROM read_text('/etc/hosts')", r"not read_text\(\)"),
        ("FROM json_execute_serialized_sql('')", "not json_exec"),
        ("WITH x AS (FROM read_parquet('a')) FROM x", r"not read_parquet\(\)"),
        ("FROM duckdb_settings()", r"not duckdb_settings\(\)"),
        ("SELECT 1 FROM events e JOIN LATERAL (FROM sniff_csv('x')) ON true", r"not sniff_csv\(\)"),
        ("FROM '/etc/hosts'", "Catalog Error"), ("FROM 'events.parquet'", "Catalog Error|Permission Error"),
        ("FROM nowhere", "Table with name nowhere does not exist.*--schema"),
        ("SELECT nope FROM events", '"nope" not found'),
        ("SELECT 'a'::INT", "Conversion Error"), ("SELECT error('boom')", "boom"), ("SELECT $x", "(?i)parameter"),
    ],
)  # fmt: skip
def test_what_is_no_select_of_the_log_is_refused_in_one_line(log: Path, text: str, why: str) -> None:
    before = sorted(path.name for path in log.parent.rglob("*"))
    with pytest.raises(UsageError, match=why) as told:
        rows(log, text)
    assert len(str(told.value).splitlines()) == 1
    assert sorted(path.name for path in log.parent.rglob("*")) == before


def test_other_files_stay_closed_even_to_what_the_parser_would_let_pass(log: Path, tmp_path: Path) -> None:
    """The second wall alone: the locked database, without the check of the syntax tree."""
    secret, target = tmp_path / "secret.csv", tmp_path / "out.csv"
    secret.write_text("a\n1\n")
    own = next(log.rglob("*.parquet"))
    with Warehouse(log) as warehouse:
        warehouse.lock()
        for text in (
            f"FROM read_csv('{secret}')", f"FROM '{secret}'", f"FROM read_text('{secret}')",
            f"FROM glob('{tmp_path}/*')",
            f"COPY events TO '{target}'", f"COPY events TO '{own}'", f"ATTACH '{tmp_path}/x.db'",
            "SET enable_external_access = true", "SET lock_configuration = false", "RESET memory_limit",
            f"SET allowed_paths = ['{secret}']", "FROM read_parquet('http://127.0.0.1:9/x.parquet')",
        ):  # fmt: skip
            with pytest.raises(duckdb.Error, match=r"Permission Error|locked|Cannot change"):
                warehouse.db.execute(text)
        assert warehouse.db.execute("SELECT count(*) FROM events_once").fetchall() == [(9,)]
    assert not target.exists()
    assert list(tmp_path.glob("x.db*")) == []


def test_a_variable_of_the_program_is_no_table(log: Path) -> None:
    hidden = pl.DataFrame({"a": [1]})
    with pytest.raises(UsageError, match="hidden does not exist"):
        rows(log, "FROM hidden")
    assert hidden.height == 1


def test_a_query_nested_too_deeply_is_refused(log: Path) -> None:
    with pytest.raises(UsageError, match=r"nested too deeply|cannot be read|failed"):
        rows(log, "SELECT " + "(" * 3000 + "1" + ")" * 3000)


WORDS = st.sampled_from([
    "SELECT", "1", "FROM", "events", ";", "(", ")", "WITH x AS", "INSERT INTO", "DELETE FROM", "'a;b'", "--", "/*",
    "*/", "UNION", "VALUES", "COPY", "TO", "read_csv", "$a", "\n", "é", "\x00", "DROP TABLE",
])  # fmt: skip


@given(st.lists(WORDS, max_size=8).map(" ".join) | st.text(max_size=40))
@settings(deadline=None)
def test_whatever_is_written_is_one_select_or_refused(database: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        check(database, text)
    except UsageError:
        return
    assert [statement.type for statement in database.extract_statements(text)] == [duckdb.StatementType.SELECT]


@pytest.mark.parametrize(("limit", "count", "more"), [(3, 3, True), (9, 9, False), (100, 9, False)])
def test_the_limit_says_whether_there_are_more(log: Path, limit: int, count: int, more: bool) -> None:
    text = "SELECT stream_seq FROM events ORDER BY stream_seq DESC"
    answer = ask(log, text, limit=limit)
    assert [row["stream_seq"] for row in answer.rows] == list(range(9, 0, -1))[:count]
    assert answer.more is more
    frame = ask_frame(log, text, limit=limit)
    assert (frame.rows["stream_seq"].to_list(), frame.more) == (list(range(9, 0, -1))[:count], more)


def test_parameters_are_values_and_never_sql(log: Path) -> None:
    text = "SELECT count(*) AS n FROM charged_jobs WHERE tenant = $t"
    assert rows(log, text, t="beta") == [{"n": 4}]
    assert rows(log, text, t="beta' OR true --") == [{"n": 0}]


def test_values_are_such_that_every_format_can_write_them(log: Path) -> None:
    text = """SELECT '\\xAB'::BLOB AS id, sum(1::HUGEINT) AS n, 2::HUGEINT ** 100 AS big, DATE '2026-10-26' AS d,
        TIMESTAMP '2026-10-26 01:02:03' AS t, INTERVAL 1 DAY AS i, TIMESTAMPTZ '2026-10-26 00:00:00+00' AS z,
        {'a': ['\\x01'::BLOB]} AS nested, 1.50::DECIMAL(9, 2) AS m, NULL AS nothing, 1 AS same, 2 AS same"""
    (row,) = rows(log, text)
    assert row == {
        "id": "0xab", "n": 1, "big": float(2**100), "d": dt.date(2026, 10, 26), "t": dt.datetime(2026, 10, 26, 1, 2, 3),
        "i": "1 day", "z": "2026-10-26 00:00:00+00", "nested": {"a": ["0x01"]}, "m": Decimal("1.50"), "nothing": None,
        "same": 1, "same_1": 2,
    }  # fmt: skip
    frame = ask_frame(log, text, limit=1).rows
    assert frame.schema["id"] == pl.Binary
    assert frame.schema["i"] == pl.String
    assert plain(2**64) == str(2**64)
    assert plain(-(2**63)) == -(2**63)


def test_an_answer_says_how_far_the_log_goes(log: Path) -> None:
    with Warehouse(log) as warehouse:
        assert ask(log, "SELECT 1", limit=1).watermark == warehouse.watermark() > 0


def test_a_query_that_takes_too_long_is_ended(log: Path) -> None:
    with pytest.raises(UsageError, match=r"longer than 0\.05 s; give it more by --timeout"):
        ask(
            log,
            "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE hash(a) = hash(b)",
            limit=1,
            timeout_s=0.05,
        )
    assert [thread.name for thread in threading.enumerate() if thread.name == "query"] == []


def test_a_query_that_needs_too_much_memory_is_told_so(log: Path) -> None:
    text = "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000)"
    with pytest.raises(UsageError, match="needs more memory than it was given"):
        ask(log, text, limit=1, memory="30MB")


def test_files_replaced_while_a_query_begins_are_looked_for_once_more(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = queries._run

    def replaced(db: duckdb.DuckDBPyConnection, *rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            old = list(log.rglob("*.parquet"))
            write(log, "events", events(1, 9))
            for path in old:
                path.unlink()
        return real(db, *rest)

    monkeypatch.setattr(queries, "_run", replaced)
    assert rows(log, "SELECT count(*) AS n FROM charged_jobs") == [{"n": 9}]
    assert len(calls) == 2


def test_a_file_that_is_damaged_where_only_the_query_reads_is_named(log: Path) -> None:
    path = sorted(log.rglob("*.parquet"))[0]
    where = "SELECT data_page_offset, total_compressed_size FROM parquet_metadata($1) WHERE path_in_schema = 'tenant'"
    at, size = duckdb.execute(where, [str(path)]).fetchall()[0]
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + b"\xff" * size + raw[at + size :])
    with pytest.raises(UsageError, match="is damaged or no file of this log") as told:
        rows(log, "SELECT DISTINCT tenant FROM events")
    assert str(path) in str(told.value)


def test_no_log_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        rows(tmp_path / "none", "SELECT 1")


def test_the_catalogue_lists_tables_before_their_columns(log: Path) -> None:
    found = catalogue(log)
    assert found[0] == {
        "table": "batches",
        "column": None,
        "type": None,
        "meaning": "One row a batch that is final on chain.",
    }
    assert {"table": "events", "column": "tenant", "type": "VARCHAR", "meaning": "whose job"} in found
    assert all(row["meaning"] for row in found)


def test_what_is_asked_is_recorded_and_reads_the_same_without_parameters(log: Path) -> None:
    with recording() as asked, Warehouse(log) as warehouse:
        none = warehouse.rows_within("charged_by_plan", 0, 1 << 60, tenant="it's")
        found = warehouse.rows_within("charged_by_plan", 0, 1 << 60, tenant=None)
    assert [rows(log, rendered(one)) for one in asked] == [none, found]
    assert none == []
    assert sum(row["units"] for row in found) == 900
    with Warehouse(log) as warehouse:
        warehouse.rows("watermark")
    assert len(asked) == 2


def test_parameters_are_written_out_only_where_they_are_parameters() -> None:
    text = "-- é $a in a comment\nSELECT 'é$a', $a, $ab /* $a */ + $b"
    made = rendered(Asked(text, {"a": "x'y", "ab": 7, "b": Expression("now()")}))
    assert made == "-- é $a in a comment\nSELECT 'é$a', 'x''y', 7 /* $a */ + now()"


@pytest.mark.parametrize("value", [None, True, 7, -7, 1.5, "it's", "", b"\x00\xff", [1, 2], ["a'", None]])
def test_a_literal_is_the_value(value: Any) -> None:
    assert duckdb.execute(f"SELECT {literal(value)}").fetchall() == [(value,)]
    with pytest.raises(TypeError):
        literal(object())
