"""The SQL views, the Polars frames and what plain DuckDB reads by the exported file are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.unit.zjops.analytics.logs import event, events, ops, requests, write
from zjops.analytics.frames import Frames, frames
from zjops.analytics.logfiles import files_that_count
from zjops.analytics.statements import VIEWS
from zjops.analytics.viewfile import views_sql
from zjops.analytics.warehouse import Warehouse
from zjops.domain.errors import InvariantError
from zjops.domain.ids import SeededIds, job_id

NAMES = ("events", "ops", "requests", "events_once", "ops_once", *VIEWS)


def _the_same(log: Path, name: str, made: Frames) -> pl.DataFrame:
    with Warehouse(log) as warehouse, duckdb.connect() as plain:
        plain.execute(views_sql(log))
        by_view = pl.DataFrame(warehouse.db.sql(f'FROM "{name}"'))
        by_file = pl.DataFrame(plain.sql(f'FROM "{name}"'))
    by_frame = getattr(made, name).collect()
    assert_frame_equal(by_view, by_frame, check_row_order=False)
    assert_frame_equal(by_view, by_file, check_row_order=False)
    return by_frame


@pytest.mark.parametrize("name", NAMES)
def test_views_frames_and_file_agree_on_a_played_log(played: Path, name: str) -> None:
    found = _the_same(played, name, frames(played))
    assert found.height > 0 or name in ("ops", "ops_once", "requests", "requests_by_minute")


@pytest.mark.parametrize("name", NAMES)
def test_they_agree_when_files_overlap_and_double(played: Path, tmp_path: Path, name: str) -> None:
    log = tmp_path / "log"
    shutil.copytree(played, log)
    paths = files_that_count(log / "events")
    several = pl.concat([pl.read_parquet(path) for path in paths[:3]])
    last = several["stream_seq"].max()
    doubled = pl.concat([several, several.head(5)]).sample(fraction=1, shuffle=True, seed=5)
    doubled.write_parquet(paths[0].with_name(f"events-{several['stream_seq'].min():020d}-{last:020d}.parquet"))
    for path in paths[:3]:
        path.unlink()
    four = pl.concat([pl.read_parquet(path) for path in paths[3:6]])
    four.write_parquet(
        paths[3].with_name(f"events-{four['stream_seq'].min():020d}-{four['stream_seq'].max():020d}.parquet")
    )
    write(log, "ops", [ops(1), ops(2)])
    write(log, "ops", [ops(2), ops(3)])
    seconds = requests(log, rows=200)
    folded = seconds.with_name(seconds.name.replace("requests", "minutes"))
    pl.read_parquet(seconds).with_columns(pl.col("second") // 60 * 60).write_parquet(folded)
    found = _the_same(log, name, frames(log))
    if name == "events_once":
        assert found.height == found["event_id"].n_unique() == pl.scan_parquet(played / "**/*.parquet").collect().height
    if name == "events":
        assert found.height > found["event_id"].n_unique()
    if name == "requests_by_minute":
        assert found["requests"].sum() == 200
    if name == "requests":
        assert (found["second"] % 60 == 0).all()


def test_an_empty_log_has_the_same_columns(tmp_path: Path) -> None:
    made = frames(tmp_path)
    for name in ("events_once", "requests", *VIEWS):
        assert _the_same(tmp_path, name, made).height == 0


def test_frames_refuse_a_gap_as_the_warehouse_does(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 5))
    write(tmp_path, "events", events(8, 9))
    with pytest.raises(InvariantError, match="events 6 to 7 are missing"):
        frames(tmp_path)
    assert frames(tmp_path, whole=False).charged_jobs.collect().height == 7


def test_the_exported_file_looks_for_the_files_when_it_is_read(tmp_path: Path) -> None:
    old = [write(tmp_path, "events", events(1, 5)), write(tmp_path, "events", events(6, 9))]
    text = views_sql(tmp_path)
    write(tmp_path, "events", events(1, 9))
    write(tmp_path, "events", events(10, 12))
    for path in old:
        path.unlink()
    with duckdb.connect() as plain:
        plain.execute(text)
        assert plain.execute("SELECT count(*) FROM events_once").fetchall() == [(12,)]
        plan = plain.execute("EXPLAIN FROM events_once").fetchall()[0][1]
        assert "Group By" not in plan
        write(tmp_path, "events", [event(13), event(13)], (13, 13))
        plain.execute(text)
        assert plain.execute("SELECT count(*) FROM events").fetchall() == [(14,)]
        assert plain.execute("SELECT count(*) FROM events_once").fetchall() == [(13,)]


def test_the_exported_file_carries_the_comments(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 5))
    text = "SELECT view_name, column_name FROM duckdb_views() v JOIN duckdb_columns() c ON v.view_name = c.table_name"
    with duckdb.connect() as plain:
        plain.execute(views_sql(tmp_path))
        bare = plain.execute(f"{text} WHERE NOT v.internal AND (v.comment IS NULL OR c.comment IS NULL)").fetchall()
        said = plain.execute(f"{text} WHERE NOT v.internal").fetchall()
    assert bare == []
    assert {name for name, _ in said} == set(NAMES)


def test_a_folder_with_a_quote_in_its_name_is_exported(tmp_path: Path) -> None:
    log = tmp_path / "it's"
    write(log, "events", events(1, 5))
    with duckdb.connect() as plain:
        plain.execute(views_sql(log))
        assert plain.execute("SELECT sum(jobs) FROM usage_daily").fetchall() == [(5,)]


def test_job_ids_are_written_as_the_api_writes_them_and_read_back(tmp_path: Path) -> None:
    ids = SeededIds(None, 3)  # type: ignore[arg-type]
    keys = [ids.token(16) for _ in range(200)] + [bytes(16), bytes(15) + b"\1", b"\xff" * 16, b"\0\0" + b"\xff" * 14]
    with Warehouse(tmp_path) as warehouse:
        text = "SELECT job_text(key), job_key(job_text(key)) FROM (SELECT unnest($1::BLOB[]) AS key)"
        found = warehouse.db.execute(text, [keys]).fetchall()
    assert found == [(job_id(key), key) for key in keys]
