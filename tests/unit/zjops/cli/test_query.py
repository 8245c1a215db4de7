"""zjops query and zjops export views as people run them: formats, exit codes, what is said aloud."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from tests.unit.zjops.analytics.logs import events, ops, write
from zjops.analytics import query as queries
from zjops.cli.main import main
from zjops.cli.output import Format, Out
from zjops.domain.errors import UsageError


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No context of the machine may leak in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("ZJOPS_CONTEXT", raising=False)
    monkeypatch.setenv("ZJOPS_HOME", str(tmp_path / "home"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Nine charged jobs of two tenants."""
    write(tmp_path / "log", "events", events(1, 5))
    write(tmp_path / "log", "events", events(6, 9, tenant="beta"))
    write(tmp_path / "log", "ops", [ops(1)])
    return tmp_path / "log"


BY_TENANT = "SELECT tenant, sum(jobs)::BIGINT AS jobs, min(day) AS day FROM usage_daily GROUP BY tenant ORDER BY tenant"
EXPECTED = [{"tenant": "acme", "jobs": 5, "day": "2026-10-26"}, {"tenant": "beta", "jobs": 4, "day": "2026-10-26"}]


def _read(text: str, form: str) -> list[dict[str, Any]]:
    if form == "json":
        return list(json.loads(text)["rows"])
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if form == "csv":
        return [row | {"jobs": int(row["jobs"])} for row in csv.DictReader(io.StringIO(text))]
    cut = [line.strip("| ").split("|" if form == "md" else None) for line in text.splitlines()]
    rows = [[cell.strip() for cell in line] for line in cut if set(line[0]) != {"-"}]
    return [dict(zip(rows[0], [row[0], int(row[1]), row[2]], strict=True)) for row in rows[1:]]


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "md"])
def test_a_query_is_answered_in_every_text_format(log: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert main(["query", "--log", str(log), BY_TENANT, "-o", form]) == 0
    told = capsys.readouterr()
    assert _read(told.out, form) == EXPECTED
    assert told.err == "2 rows; log complete to 2026-10-26T07:33:20.009Z\n"


def _process(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "zjops", *arguments], check=False, timeout=100, **settings)


def test_parquet_goes_to_a_pipe_with_the_columns_own_types(log: Path) -> None:
    text = "SELECT tenant, event_id, stream_seq FROM events ORDER BY stream_seq"
    done = _process("query", "--log", str(log), text, "-o", "parquet", "--limit", "7", capture_output=True)
    assert done.returncode == 0, done.stderr
    frame = pl.read_parquet(io.BytesIO(done.stdout))
    assert frame.schema == {"tenant": pl.String, "event_id": pl.Binary, "stream_seq": pl.Int64}
    assert frame["stream_seq"].to_list() == list(range(1, 8))
    assert done.stderr.decode().startswith("the first 7 rows, there are more; raise --limit; log complete to ")


def test_parquet_never_goes_to_a_terminal(log: Path) -> None:
    ours, theirs = pty.openpty()
    done = _process("query", "--log", str(log), "SELECT 1", "-o", "parquet", stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert done.returncode == 2
    assert done.stderr.decode() == ("error: parquet is for a file or a pipe, not for a terminal; add: > rows.parquet\n")
    try:
        shown = os.read(ours, 100)
    except OSError:
        # A terminal that nobody wrote to ends like this.
        shown = b""
    os.close(ours)
    assert shown == b""


def test_rows_of_any_command_become_parquet_one_table_a_file(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    rows = [{"a": 1, "b": "x", "c": {"d": 1}, "e": None}, {"a": 2, "b": None, "c": "y", "e": None}]
    out = Out(Format.PARQUET)
    out.rows("zjops.test/1", rows)
    frame = pl.read_parquet(io.BytesIO(capfdbinary.readouterr().out))
    assert frame.to_dict(as_series=False) == {"a": [1, 2], "b": ["x", None], "c": ['{"d":1}', "y"], "e": [None, None]}
    with pytest.raises(UsageError, match="more tables than one"):
        out.rows("zjops.test/1", rows)
    Out(Format.PARQUET).record("zjops.test/1", {"ok": True, "big": 2**70})
    record = pl.read_parquet(io.BytesIO(capfdbinary.readouterr().out))
    assert record.to_dicts() == [{"ok": True, "big": str(2**70)}]


def test_a_limit_is_said_aloud(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--log", str(log), "FROM events", "--limit", "1", "--json"]) == 0
    told = capsys.readouterr()
    assert len(json.loads(told.out)["rows"]) == 1
    assert told.err == "the first row, there are more; raise --limit; log complete to 2026-10-26T07:33:20.009Z\n"


def test_quiet_says_nothing_but_the_data(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--log", str(log), "SELECT 1 AS n", "-o", "csv", "-q"]) == 0
    assert capsys.readouterr() == ("n\n1\n", "")


def test_parameters_are_given_by_name(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "SELECT count(*) AS n FROM charged_jobs WHERE tenant = $t AND compute_units = $u"
    given = ["--param", "t=beta", "--param", "u=100"]
    assert main(["query", "--log", str(log), text, *given, "-o", "csv"]) == 0
    assert capsys.readouterr().out == "n\n4\n"


def test_the_schema_is_listed(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--log", str(log), "--schema", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "zjops.schema/1"
    assert {
        "table": "usage_daily", "column": "jobs", "type": "BIGINT", "meaning": "jobs charged",
    } in shown["rows"]  # fmt: skip
    tables = [row["table"] for row in shown["rows"] if row["column"] is None]
    assert tables == sorted(tables)
    assert {"events", "events_once", "ops", "requests", "jobs", "batches", "invoice_usage"} <= set(tables)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["COPY events TO 'x.csv'"], "a query is one SELECT, not COPY"), ([], "a query is one SELECT; see"),
        (["SELECT nope FROM events"], 'Referenced column "nope" not found'),
        (["SELECT 1", "--param", "x"], "--param is name=value, not x"),
        (["SELECT 1", "--param", "1=2"], "--param is name=value, not 1=2"),
        (["SELECT 1", "--memory", "much"], "much is no amount of memory; write it as 2GB"),
        (["SELECT count(*) FROM range(100000000000)", "--timeout", "0.05"], "longer than 0.05 s"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_line_and_exit_2(
    log: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    assert main(["query", "--log", str(log), *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert why in told.err
    assert told.err.startswith("error: ")
    assert len(told.err.splitlines()) == 1


def test_a_log_that_is_damaged_has_a_gap_or_is_not_there(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["query", "--log", str(log), "SELECT 1"]
    gap = write(log, "events", events(12, 14))
    assert main(ask) == 4
    assert "events 10 to 11 are missing" in capsys.readouterr().err
    gap.unlink()
    cut = write(log, "events", events(10, 12))
    cut.write_bytes(cut.read_bytes()[:-9])
    assert main(ask) == 2
    assert str(cut) in capsys.readouterr().err
    assert main(["query", "--log", str(log / "none"), "SELECT 1"]) == 3
    assert "there is no log in" in capsys.readouterr().err


def test_without_a_platform_a_query_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "SELECT 1"]) == 3
    assert "start one with: zjops up" in capsys.readouterr().err


def test_the_sql_behind_a_command_is_shown_and_gives_the_same_by_hand(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["usage", "--log", str(log), "--tenant", "beta", "--json"]
    assert main(asked) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert main([*asked, "--show-sql"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("-- ")
    assert "tenant = 'beta'" in text
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert main(["query", "--log", str(log), "-", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows
    assert rows[0]["jobs_charged"] == 4


def test_the_sql_behind_an_invoice_is_each_of_its_statements(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoice", "beta", "--month", "2026-10", "--log", str(log), "--show-sql"]) == 0
    text = capsys.readouterr().out
    with duckdb.connect() as db:
        statements = db.extract_statements(text)
    assert len(statements) > 1
    for statement in statements:
        assert main(["query", "--log", str(log), statement.query]) == 0


def test_ctrl_c_ends_a_query_cleanly(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, ended = queries._run, []

    def pressed(*given: Any) -> Any:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            return real(*given)
        except duckdb.InterruptException:
            ended.append(1)
            raise

    monkeypatch.setattr(queries, "_run", pressed)
    text = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE hash(a) = hash(b)"
    assert main(["query", "--log", str(log), text]) == 130
    assert ended == [1]
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert told.out == ""


def test_the_views_are_exported_for_plain_duckdb(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "views", "--log", str(log)]) == 0
    with duckdb.connect() as db:
        db.execute(capsys.readouterr().out)
        assert db.execute("SELECT tenant, jobs FROM invoice_usage ORDER BY tenant").fetchall() == [
            ("acme", 5),
            ("beta", 4),
        ]
    target = tmp_path / "views.sql"
    assert main(["export", "views", "--log", str(log), "-o", str(target)]) == 0
    assert "CREATE OR REPLACE VIEW invoice_usage" in target.read_text()
    assert main(["export", "views", "--log", str(log), "-o", str(tmp_path / "none/views.sql")]) == 2
    assert main(["export", "views", "--log", str(tmp_path / "none")]) == 3
