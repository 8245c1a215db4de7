"""The warehouse: which files count, each event once, how far the log has got, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl
import pytest

from simulator.metering import EVENT_SCHEMA, OPS_SCHEMA
from tests.unit.zjops.analytics.logs import DAY_MS, START_MS, event, events, ops, write
from zjops.analytics import soundness, warehouse
from zjops.analytics.schema import LOGS
from zjops.analytics.warehouse import Warehouse, files_that_count
from zjops.domain.errors import InvariantError, UnreachableError, UsageError
from zjops.domain.ids import SeededIds
from zjops.domain.logfiles import PROBER_FIRST

SPAN = {"tenant": "acme", "since_ms": START_MS, "until_ms": START_MS + 1}


def charged(log: Path, *, exact: bool | None = None) -> tuple[int, int]:
    """Jobs and units in `charged_jobs`."""
    with Warehouse(log, exact=exact) as w:
        found = w.db.execute("SELECT count(*), sum(compute_units) FROM charged_jobs").fetchall()[0]
        return int(found[0]), int(found[1])


def plain(log: Path) -> bool:
    """Whether `events_once` reads the files without making anything distinct."""
    with Warehouse(log) as w:
        (text,) = w.db.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'events_once'").fetchall()[0]
    return "DISTINCT" not in text


@pytest.mark.parametrize(("name", "schema"), [("events", EVENT_SCHEMA), ("ops", OPS_SCHEMA)])
def test_the_columns_are_those_that_the_meter_writes(name: str, schema: dict[str, pl.DataType]) -> None:
    kinds = {"BLOB": pl.Binary, "BIGINT": pl.Int64, "INTEGER": pl.Int32, "VARCHAR": pl.String}
    assert {c.name: kinds[c.type]() for c in LOGS[name].columns} == schema


def test_an_empty_log_has_every_table_and_view_with_its_columns(tmp_path: Path) -> None:
    with Warehouse(tmp_path) as w:
        for name, log in LOGS.items():
            described = w.db.execute(f"DESCRIBE {name}").fetchall()
            assert [(d[0], d[1]) for d in described] == [(c.name, c.type) for c in log.columns]
        for name in (*warehouse.views(), "events_once", "ops_once"):
            assert w.db.execute(f"SELECT count(*) FROM {name}").fetchall() == [(0,)]
        assert w.watermark() == 0


def test_each_event_stands_once_when_files_follow_each_other(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 5))
    write(tmp_path, "events", events(6, 9))
    assert charged(tmp_path) == (9, 900)
    assert plain(tmp_path)


def test_a_compacted_range_counts_once_and_the_replaced_files_not_at_all(tmp_path: Path) -> None:
    first, second = write(tmp_path, "events", events(1, 5)), write(tmp_path, "events", events(6, 9))
    whole = write(tmp_path, "events", events(1, 9))
    assert first in tmp_path.rglob("*.parquet")
    assert second not in files_that_count(tmp_path / "events")
    assert files_that_count(tmp_path / "events") == [whole]
    assert charged(tmp_path) == (9, 900)
    assert plain(tmp_path)


def test_files_that_overlap_in_part_count_what_they_share_once(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 6))
    write(tmp_path, "events", events(4, 9))
    write(tmp_path, "events", events(10, 12))
    assert charged(tmp_path) == (12, 1200)
    assert not plain(tmp_path)


def test_an_event_that_is_doubled_in_its_file_counts_once(tmp_path: Path) -> None:
    write(tmp_path, "events", [*events(1, 5), event(3)], (1, 5))
    write(tmp_path, "events", events(6, 9))
    assert charged(tmp_path) == (9, 900)
    with Warehouse(tmp_path) as w:
        assert w.db.execute("SELECT count(*) FROM events").fetchall() == [(10,)]


def test_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    mixed = events(1, 50)
    SeededIds(None, 7)._random.shuffle(mixed)  # type: ignore[arg-type]
    write(tmp_path, "events", mixed, (1, 50))
    assert charged(tmp_path) == (50, 5000)
    assert plain(tmp_path)


@pytest.mark.parametrize("exact", [True, None])
def test_one_event_in_place_of_another_is_found_though_rows_and_bounds_are_right(
    tmp_path: Path, exact: bool | None
) -> None:
    write(tmp_path, "events", [event(s) for s in (1, 2, 2, 4, 5)])
    with pytest.raises(InvariantError, match="events 3 is missing"):
        charged(tmp_path, exact=exact)


def test_what_was_summed_once_is_not_summed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "events", events(1, 5))
    assert charged(tmp_path) == (5, 500)
    monkeypatch.setattr(soundness, "_right", lambda *_: pytest.fail("summed again"))
    assert charged(tmp_path) == (5, 500)


def test_the_watermark_is_the_time_of_the_newest_event_in_stream_order(tmp_path: Path) -> None:
    write(tmp_path, "events", [event(1, time=START_MS + 900), event(2, time=START_MS + 500)])
    with Warehouse(tmp_path) as w:
        assert w.watermark() == START_MS + 500
    write(tmp_path, "events", [event(3, time=START_MS + 700)])
    with Warehouse(tmp_path) as w:
        assert w.watermark() == START_MS + 700


def test_a_frame_has_the_rows_of_the_statement(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 5))
    with Warehouse(tmp_path) as w:
        frame, rows = w.frame("usage_by", **SPAN), w.rows("usage_by", **SPAN)
        none = w.frame("availability", first_ms=0, after_ms=1)
    assert frame.to_dicts() == rows
    assert rows[0]["units_charged"] == 500
    assert none.schema == {"plan": pl.String, "source": pl.String, "total": pl.Int64, "good": pl.Int64}


def test_a_log_whose_beginning_has_expired_is_whole(tmp_path: Path) -> None:
    write(tmp_path, "events", events(100, 105))
    write(tmp_path, "events", events(106, 109))
    assert charged(tmp_path) == (10, 1000)


def test_a_missing_file_is_named_by_its_range(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 5))
    write(tmp_path, "events", events(9, 12))
    with pytest.raises(
        InvariantError, match=r"has a gap: events 6 to 8 are missing, on 2026-10-26; put the files back"
    ):
        Warehouse(tmp_path)
    with Warehouse(tmp_path, whole=False) as w:
        assert w.db.execute("SELECT count(*) FROM events_once").fetchall() == [(9,)]


def test_a_missing_day_is_named_by_the_days_around_it(tmp_path: Path) -> None:
    write(tmp_path, "ops", [ops(1, time=START_MS)])
    write(tmp_path, "ops", [ops(3, time=START_MS + 2 * DAY_MS)])
    with pytest.raises(InvariantError, match=r"ops 2 to 2 are missing, between 2026-10-26 and 2026-10-28"):
        Warehouse(tmp_path)


def test_an_event_missing_from_a_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, "events", [event(s) for s in (1, 2, 5, 6)])
    with pytest.raises(InvariantError, match=r"events-0+1-0+6\.parquet has a gap: events 3 to 4 are missing"):
        Warehouse(tmp_path)


def _refused(log: Path, path: Path, why: str) -> None:
    with pytest.raises(UsageError, match=why) as told:
        charged(log)
    assert str(path) in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("keep", [0, 3, 500, -30])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    write(tmp_path, "events", events(1, 5))
    path = write(tmp_path, "events", events(6, 9))
    path.write_bytes(path.read_bytes()[:keep])
    _refused(tmp_path, path, "is damaged or no file of this log")


def test_a_file_that_is_damaged_inside_is_named(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 5))
    path = write(tmp_path, "events", events(6, 9))
    where = "SELECT data_page_offset, total_compressed_size FROM parquet_metadata($1) WHERE path_in_schema = $2"
    at, size = duckdb.execute(where, [str(path), "stream_seq"]).fetchall()[0]
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + b"\xff" * size + raw[at + size :])
    _refused(tmp_path, path, "is damaged or no file of this log")


def test_a_foreign_file_is_named_by_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "events", events(1, 5))
    pl.DataFrame({"stream_seq": [1, 2]}).write_parquet(path)
    _refused(tmp_path, path, "column event_id is BLOB, the file lacks it")
    pl.DataFrame(events(1, 5), schema=EVENT_SCHEMA | {"compute_units": pl.Float64()}).write_parquet(path)
    _refused(tmp_path, path, "column compute_units is BIGINT, the file has DOUBLE")


def test_a_file_of_another_name_is_not_silently_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "events", events(1, 5))
    stray = path.with_name("copy.parquet")
    stray.write_bytes(path.read_bytes())
    _refused(tmp_path, stray, "its name says no range of sequences")


def test_rows_that_the_name_does_not_cover_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "events", events(1, 5), (1, 4))
    _refused(tmp_path, path, "holds sequences that its name does not cover")


def test_columns_in_another_order_and_more_of_them_are_read_by_name(tmp_path: Path) -> None:
    write(tmp_path, "events", events(1, 5))
    path = write(tmp_path, "events", events(6, 9))
    frame = pl.read_parquet(path)
    frame.select(reversed(frame.columns)).with_columns(more=1).write_parquet(path)
    assert charged(tmp_path) == (9, 900)


def test_files_replaced_between_choice_and_reading_are_looked_for_once_more(tmp_path: Path) -> None:
    old = [write(tmp_path, "events", events(1, 5)), write(tmp_path, "events", events(6, 9))]
    with Warehouse(tmp_path) as w:
        write(tmp_path, "events", events(1, 9))
        for path in old:
            path.unlink()
        assert w.rows("usage_by", **SPAN)[0]["jobs_charged"] == 9
        assert w.watermark() == START_MS + 9


def test_files_that_go_and_do_not_come_again_are_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "events", events(1, 5))
    with Warehouse(tmp_path) as w:
        chosen = list(w.files["events"])
        path.unlink()
        monkeypatch.setattr(warehouse, "read_folder", lambda folder: chosen if folder.name == "events" else [])
        with pytest.raises(UnreachableError, match="cannot be read"):
            w.rows("usage_by", **SPAN)


def test_a_log_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="has a platform run there"):
        Warehouse(tmp_path / "none")


def test_what_was_spilled_is_taken_away(tmp_path: Path) -> None:
    with Warehouse(tmp_path) as w:
        spill = w._spill
        assert spill.is_dir()
    assert not spill.exists()


def test_the_catalogue_says_what_every_column_holds(tmp_path: Path) -> None:
    with Warehouse(tmp_path) as w:
        w.describe()
        bare = w.db.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
        ).fetchall()
        unsaid = w.db.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL").fetchall()
    assert (bare, unsaid) == ([], [])


def test_every_view_file_begins_with_why_and_is_listed() -> None:
    folder = Path(warehouse.__file__).parent / "views"
    assert {path.stem for path in folder.glob("*.sql")} == {*warehouse.views(), "functions"}
    for name, text in warehouse.views().items():
        assert re.match(rf"-- .+\n(-- .+\n)*CREATE OR REPLACE VIEW {name} AS\n", text), name


def test_a_request_log_is_read_and_folded_rows_add_up(tmp_path: Path) -> None:
    folder = tmp_path / "requests/date=2026-10-26"
    folder.mkdir(parents=True)
    row = {
        "second": START_MS // 1000 // 60 * 60, "process": "api-1", "source": "api", "route": "/v1/jobs",
        "method": "POST", "status": 202, "plan": "pro", "count": 5, "within_300ms": 4, "within_500ms": 5,
        "errors_5xx": 0, "timeouts": 0, "latency_ms_histogram": [1, 4],
    }  # fmt: skip
    rows = [row, row | {"second": row["second"] + 59}, row | {"second": row["second"] + 60}]
    frame = pl.DataFrame(rows, schema_overrides={"status": pl.Int32})
    frame.write_parquet(folder / f"requests-{1:020d}-{3:020d}.parquet")
    frame.head(1).with_columns(source=pl.lit("prober")).write_parquet(
        folder / f"prober-{PROBER_FIRST:020d}-{PROBER_FIRST:020d}.parquet"
    )
    with Warehouse(tmp_path) as w:
        found = w.db.execute(
            "SELECT source, requests, within_300ms FROM requests_by_minute ORDER BY source, minute"
        ).fetchall()
    assert found == [("api", 10, 8), ("api", 5, 4), ("prober", 5, 4)]


def test_a_probe_is_bad_unless_it_was_answered_by_a_2xx_in_time(tmp_path: Path) -> None:
    folder, second = tmp_path / "requests/date=2026-10-26", START_MS // 1000
    folder.mkdir(parents=True)
    probe = {
        "second": second, "process": "supervisor", "source": "prober", "route": "/v1/jobs", "method": "GET",
        "status": 200, "plan": "prober", "count": 1, "within_300ms": 1, "within_500ms": 1, "errors_5xx": 0,
        "timeouts": 0, "latency_ms_histogram": [1],
    }  # fmt: skip
    bad = [{"status": 429}, {"status": 401}, {"status": 503, "errors_5xx": 1}, {"status": 0, "timeouts": 1}]
    late = {"status": 202, "method": "POST", "timeouts": 1}
    asked = probe | {"source": "api", "plan": "pro", "status": 429}
    rows = [probe, *(probe | one for one in [*bad, late]), asked]
    frame = pl.DataFrame(rows, schema_overrides={"status": pl.Int32})
    frame.write_parquet(folder / f"requests-{1:020d}-{len(rows):020d}.parquet")
    with Warehouse(tmp_path) as w:
        found = w.rows("availability", first_ms=START_MS, after_ms=START_MS + 1000)
    assert {(row["source"], row["good"], row["total"]) for row in found} == {("prober", 1, 6), ("api", 1, 1)}


def test_an_error_of_duckdb_keeps_its_reason(tmp_path: Path) -> None:
    with Warehouse(tmp_path) as w, pytest.raises(UnreachableError, match="cannot be read: Invalid Input Error"):
        w.rows("usage_by")
    assert issubclass(duckdb.InvalidInputException, duckdb.Error)


def test_events_within_a_span_are_those_whose_acceptance_lies_in_it(tmp_path: Path) -> None:
    def jobs(first_ms: int, after_ms: int) -> int:
        return sum(row["jobs"] for row in w.rows_within("charged_by_plan", first_ms, after_ms, tenant=None))

    write(tmp_path, "events", events(1, 3, accepted_at=START_MS - 1))
    write(tmp_path, "events", events(4, 6))
    write(tmp_path, "events", [*events(7, 8), *events(9, 9, accepted_at=START_MS + 1)])
    # One whose range overlaps its neighbour's: what stands in both counts once.
    write(tmp_path, "events", [*events(9, 9, accepted_at=START_MS + 1), *events(10, 11)])
    with Warehouse(tmp_path) as w:
        assert jobs(START_MS, START_MS + 1) == len({4, 5, 6, 7, 8, 10, 11})
        assert jobs(0, START_MS + DAY_MS) == 11
        assert jobs(START_MS - 1, START_MS) == 3
        assert jobs(START_MS + DAY_MS, START_MS + 2 * DAY_MS) == 0
