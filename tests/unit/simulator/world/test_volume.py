"""A log that is made by arithmetic: the rules of a played one hold in it, and its mark says what it is."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from simulator.world import volume as module
from simulator.world.volume import GAS, Made, Volume, hours_of, make, volume, windows
from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.soundness import doubtful
from zjops.analytics.warehouse import Warehouse
from zjops.audit.checks import check_log, check_store
from zjops.audit.records import read_log
from zjops.audit.tying import check_months
from zjops.domain.clock import SystemClock, parse_rfc3339
from zjops.domain.errors import StoreUnavailable, UsageError
from zjops.domain.ids import job_id
from zjops.domain.jobs import JobState
from zjops.domain.plans import compute_units, price_book
from zjops.domain.synthetic import synthetic_part
from zjops.domain.wire import ExportRow

START_MS = parse_rfc3339("2026-05-29T00:00:00Z")
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
ASKED, DAYS, TENANTS = 50_000, 7, 100


def _make(folder: Path, what: Volume) -> dict[str, Any]:
    return make(what, folder, SystemClock(), lambda made: None)


def _small(seed: int = 7) -> Volume:
    return volume("3K", 1, 20, seed, START_MS)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "world"
    _make(folder, volume("50K", DAYS, TENANTS, 7, START_MS))
    return folder


@pytest.fixture(scope="module")
def log(folder: Path) -> Path:
    return folder / "log"


def _rows(log: Path, text: str) -> list[dict[str, Any]]:
    with Warehouse(log) as warehouse:
        return warehouse.ask(text)


def test_its_mark_says_that_it_is_arithmetic_and_where_its_numbers_end(log: Path) -> None:
    mark = synthetic_part(log)
    assert mark is not None
    assert (mark.kind, mark.seed, mark.days, mark.tenants) == ("arithmetic", 7, DAYS, TENANTS)
    assert mark.text.startswith("synthetic from 2026-05-29T00:00:00.000Z to 2026-06-05T00:00:00.000Z: made by arithm")
    (last,) = _rows(
        log,
        """SELECT (SELECT max(stream_seq) FROM events) AS events, max(stream_seq) AS ops,
        (SELECT max(outbox_no) FROM events) AS outbox, (SELECT max(batch_id) FROM events) AS batches FROM ops""",
    )
    assert last == {name: getattr(mark.last, name) for name in last}
    assert last["ops"] == TENANTS


def test_it_holds_about_as_many_events_as_were_asked_for_within_its_days(log: Path) -> None:
    (found,) = _rows(log, "SELECT count(*) AS events, min(time) AS first, max(time) AS last FROM events")
    assert abs(found["events"] - ASKED) < ASKED // 100
    assert found["first"] >= START_MS
    assert found["last"] < START_MS + DAYS * DAY_MS


def test_its_sequences_are_dense_in_the_order_of_time_and_its_ids_unique(log: Path) -> None:
    with Warehouse(log) as warehouse:
        assert doubtful(warehouse.db, warehouse.files["events"], exact=True) == []
        assert doubtful(warehouse.db, warehouse.files["ops"], exact=True) == []
    (found,) = _rows(
        log,
        """SELECT count(*) AS rows, max(stream_seq) AS last, count(DISTINCT event_id) AS ids,
            count(*) FILTER (time < before) AS back, count(*) FILTER (octet_length(event_id) <> 16) AS odd
        FROM (SELECT *, lag(time) OVER (ORDER BY stream_seq) AS before FROM events)""",
    )
    assert found == {"rows": found["rows"], "last": found["rows"], "ids": found["rows"], "back": 0, "odd": 0}
    numbers = _rows(
        log,
        """SELECT count(*) AS rows, count(DISTINCT outbox_no) AS numbers, max(outbox_no) AS last
        FROM (SELECT outbox_no FROM events UNION ALL SELECT outbox_no FROM ops)""",
    )
    assert numbers == [dict.fromkeys(("rows", "numbers", "last"), found["rows"] + TENANTS)]


def _as_exported(row: dict[str, Any]) -> ExportRow:
    """A job as the platform that was never there would have exported it: as its last event left it."""
    kept = {name: value for name, value in row.items() if name in ExportRow.__struct_fields__}
    return ExportRow(**kept | {
        "job_id": job_id(bytes(row["job_id"])), "idempotency_key": None, "salt": "", "result_sha3": None,
        "status": JobState(row["status"]), "tx_hash": None,
        "confirmed_at": row["time"] if row["type"] == "confirmed" else None,
    })  # fmt: skip


def test_every_job_passes_the_audits_rules_for_a_jobs_events(log: Path) -> None:
    last = _rows(
        log, "SELECT * FROM events QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY stream_seq DESC) = 1"
    )
    jobs, logged = [_as_exported(row) for row in last], read_log(log).jobs
    assert logged.keys() == {job.job_id for job in jobs}
    assert [f for job in jobs for f in check_store(job, True) + check_log(job, logged[job.job_id])] == []
    told = {(job.status.value, job.charge, job.error_code) for job in jobs}
    assert told == {
        ("confirmed", "charged", None), ("failed", "charged", "invalid_parameters"), ("cancelled", "released", None),
        ("failed", "released", "synthetic"), ("failed", "released", "timeout"),
    }  # fmt: skip


def test_a_jobs_events_come_in_its_life_cycles_order_and_agree_on_the_job(log: Path) -> None:
    found = _rows(
        log,
        """SELECT DISTINCT list(type ORDER BY stream_seq) AS types,
            len(list_distinct(list((tenant, plan, job_type, accepted_at, payload_bytes, compute_units)))) AS versions
        FROM events GROUP BY job_id""",
    )
    orders = {tuple(row["types"]) for row in found}
    assert orders == {
        ("submitted", "processing", "completed", "confirmed"), ("submitted", "processing", "failed", "confirmed"),
        ("submitted", "cancelled"),
    }  # fmt: skip
    assert {row["versions"] for row in found} == {1}


def test_units_follow_from_the_size_and_plans_from_the_tenants_creation(log: Path) -> None:
    book = price_book()
    bodies = _rows(log, "SELECT DISTINCT plan, payload_bytes, compute_units FROM events")
    assert all(row["compute_units"] == compute_units(row["payload_bytes"], book.bytes_per_kb) for row in bodies)
    assert all(row["payload_bytes"] <= book.plans[row["plan"]].body_bytes for row in bodies)
    assert any(row["payload_bytes"] > 1_000_000 for row in bodies)
    other = _rows(
        log,
        """SELECT e.tenant FROM events e LEFT JOIN ops o ON o.tenant = e.tenant
        AND o.action = 'tenant.create' AND o."values"->>'plan' = e.plan WHERE o.tenant IS NULL""",
    )
    assert other == []


def test_a_batch_is_confirmed_at_once_in_one_transaction_whose_gas_its_jobs_share(log: Path) -> None:
    (odd,) = _rows(
        log,
        f"""SELECT count(*) AS batches, count(*) FILTER (
            transactions <> 1 OR times <> 1 OR gas <> {GAS} OR leaves <> range(jobs) OR numbers <> jobs) AS odd
        FROM (SELECT count(DISTINCT (tx_hash, block_number, block_hash)) AS transactions,
                count(DISTINCT time) AS times, sum(gas_share) AS gas, count(*) AS jobs,
                list(leaf_index::BIGINT ORDER BY chain_sequence) AS leaves,
                max(chain_sequence) - min(chain_sequence) + 1 AS numbers
            FROM events WHERE type = 'confirmed' GROUP BY batch_id)""",
    )
    assert odd["batches"] > 100
    assert odd["odd"] == 0
    (chain,) = _rows(
        log,
        """SELECT count(*) AS jobs, min(chain_sequence) AS first, max(chain_sequence) AS last
        FROM events WHERE type = 'confirmed'""",
    )
    assert (chain["first"], chain["last"]) == (1, chain["jobs"])


def test_each_month_prices_and_ties_out(log: Path) -> None:
    tied, findings = check_months(log)
    assert findings == []
    assert [one.month for one in tied] == ["2026-05", "2026-06"]
    book = price_book()
    with Warehouse(log) as warehouse:
        made = draft_invoices(read_month(warehouse, "2026-06", book, now_ms=START_MS + DAYS * DAY_MS), book)
    charged = _rows(
        log,
        f"""SELECT sum(compute_units)::BIGINT AS units FROM events WHERE charge = 'charged'
        AND type IN ('completed', 'failed') AND accepted_at >= {START_MS + 3 * DAY_MS}""",
    )[0]["units"]
    assert sum(invoice.units.total for invoice in made) == charged
    assert len(made) == TENANTS
    assert {invoice.plan for invoice in made} == {"free", "starter", "pro", "enterprise"}


def test_the_same_seed_makes_the_same_bytes_and_another_others(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        _make(tmp_path / name, _small(seed))
    one, two, three = (_bytes(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    events = [name for name in one if "events" in name]
    assert events
    assert not any(one[name] == three.get(name) for name in events)


def test_where_it_is_cut_into_chunks_changes_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path / "whole", _small())
    # Chunks that are shorter than a job's life: what it does later falls into the next but one.
    noon, end = START_MS + 12 * HOUR_MS, START_MS + DAY_MS
    edges = [START_MS, noon - 30_000, noon, noon + 30_000, noon + 60_000, noon + 120_000, end]
    monkeypatch.setattr(module, "windows", lambda hours: list(pairwise(edges)))
    _make(tmp_path / "cut", _small())
    whole, cut = (
        _rows(tmp_path / name / "log", "SELECT * FROM events ORDER BY stream_seq") for name in ("whole", "cut")
    )
    assert whole == cut


@pytest.mark.parametrize(("text", "days"), [("50K", 30), ("100M", 30), ("2G", 1), ("1K", 60)])
def test_chunks_cover_the_span_each_within_a_day_and_none_too_large(text: str, days: int) -> None:
    hours = hours_of(volume(text, days, 100, 0, START_MS))
    found = windows(hours)
    assert [after for _, after in found[:-1]] == [begin for begin, _ in found[1:]]
    assert (found[0][0], found[-1][1]) == (START_MS, START_MS + days * DAY_MS)
    assert all(begin // DAY_MS == (after - 1) // DAY_MS for begin, after in found)
    counts = {hour.begin_ms: hour.after - hour.first for hour in hours}
    for begin, after in found:
        jobs = sum(count * max(0, min(after, at + HOUR_MS) - max(begin, at)) // HOUR_MS for at, count in counts.items())
        assert jobs * module.EVENTS_A_JOB <= module.CHUNK_EVENTS * 1.01


def test_a_day_is_busier_than_its_night_and_a_weekday_than_a_sunday() -> None:
    counts = [hour.after - hour.first for hour in hours_of(volume("10M", 7, 100, 0, START_MS))]
    friday, sunday = counts[:24], counts[48:72]
    assert max(friday) > 2 * min(friday)
    assert sum(sunday) < 0.7 * sum(friday)
    assert counts[-1] == 0


@pytest.mark.parametrize(("given", "said"), [
    ({"text": "many"}, "--volume is a number of events such as 100M, not many"),
    ({"text": "infM"}, "--volume is a number of events such as 100M, not infM"),
    ({"text": "999"}, "--volume goes from 1K to 2G events"),
    ({"text": "3G"}, "--volume goes from 1K to 2G events"),
    ({"days": 0}, "--days goes from 1 to 400"),
    ({"tenants": 19}, "--tenants goes from 20 to 90000 with --volume"),
    ({"seed": -1}, "--seed goes from 0 to 2147483647"),
])  # fmt: skip
def test_what_cannot_be_made_is_refused_in_a_sentence(given: dict[str, Any], said: str) -> None:
    asked: dict[str, Any] = {"text": "1M", "days": 1, "tenants": 20, "seed": 0, "start_ms": START_MS} | given
    with pytest.raises(UsageError, match=f"^{said}$"):
        volume(**asked)


@pytest.mark.parametrize(("text", "events"), [("1k", 1_000), ("2.5M", 2_500_000), ("1B", 10**9), ("12345", 12_345)])
def test_a_number_of_events_may_be_written_short(text: str, events: int) -> None:
    assert volume(text, 1, 20, 0, START_MS + 59_000) == Volume(events, 1, 20, 0, START_MS)


def test_a_folder_that_holds_something_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UsageError, match="is not empty; name a new folder with --out"):
        _make(tmp_path, _small())
    assert _bytes(tmp_path) == {"mine": b"kept"}


def test_nothing_stays_of_a_log_that_was_not_finished(tmp_path: Path) -> None:
    def stop(made: Made) -> None:
        assert made.events > 0
        assert list(tmp_path.rglob("events-*.parquet"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(_small(), tmp_path / "world", SystemClock(), stop)
    assert not (tmp_path / "world").exists()


def test_too_little_memory_is_said_in_a_sentence_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY", "1MB")
    with pytest.raises(StoreUnavailable, match="free some space or memory") as caught:
        _make(tmp_path / "world", volume("100K", 1, 20, 0, START_MS))
    assert isinstance(caught.value.__cause__, duckdb.Error)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "world").exists()
