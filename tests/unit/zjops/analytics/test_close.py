"""Closing a month: numbered, frozen, refused where it must be, corrected on the next invoice and never in itself."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from tests.unit.zjops.analytics.test_billing import Log
from zjops.analytics.close import SETTLED_WITHIN_MS, Closing, close, prepare
from zjops.analytics.issued import invoices_of, read_closed
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import parse_rfc3339
from zjops.domain.closed import MANIFEST, billing_dir, closed_months
from zjops.domain.errors import InvariantError, StoreUnavailable, UsageError
from zjops.domain.invoices import Invoice
from zjops.domain.plans import price_book
from zjops.domain.runfile import RUN_FILE
from zjops.domain.synthetic import MARK

BOOK = price_book()
NOW = parse_rfc3339("2026-08-20T00:00:00Z")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log(tmp_path / "log")
    made.job("acme", "starter", "06-05", 1_100_000)
    made.job("beta", "pro", "06-06", 500)
    made.job("beta", "pro", "07-10", 500)
    return made


def _prepare(log: Log, month: str = "2026-06") -> Closing:
    log.read()
    with Warehouse(log.folder) as warehouse:
        return prepare(warehouse, billing_dir(log.folder), month, BOOK, now_ms=NOW)


def _close(log: Log, month: str = "2026-06") -> list[Invoice]:
    closing = _prepare(log, month)
    close(billing_dir(log.folder), month, closing, BOOK, now_ms=NOW)
    return closing.invoices


def _invoices(log: Log, month: str) -> dict[str, Invoice]:
    log.read()
    with Warehouse(log.folder) as warehouse:
        _, made = invoices_of(warehouse, billing_dir(log.folder), month, BOOK, now_ms=NOW)
    return {one.tenant: one for one in made}


def _bytes(log: Log) -> dict[str, str]:
    folder = billing_dir(log.folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_close_numbers_and_freezes_every_invoice(log: Log) -> None:
    invoices = _close(log)
    assert [(one.tenant, one.number, one.state) for one in invoices] == [
        ("acme", "INV-2026-06-0001", "issued"), ("beta", "INV-2026-06-0002", "issued"),
    ]  # fmt: skip
    manifest, stored = read_closed(billing_dir(log.folder), "2026-06")
    assert stored == invoices
    assert (manifest.invoices, manifest.total_cents) == (2, 29_25 + 99_00)
    journal = (billing_dir(log.folder) / "2026-06" / "journal.csv").read_text().splitlines()
    assert len(journal) == 1 + sum(len(one.lines) for one in invoices)


def test_what_comes_after_is_a_note_on_the_next_invoice_and_changes_nothing_issued(log: Log) -> None:
    _close(log)
    before = _bytes(log)
    log.job("beta", "pro", "06-28", 12_000_000)
    assert _invoices(log, "2026-06")["beta"].total_cents == 99_00
    july = _invoices(log, "2026-07")["beta"]
    (note,) = [line for line in july.lines if line.code == "correction"]
    assert (note.amount_cents, note.quantity, note.jobs, note.reference) == (500, 12_000_000, 1, "INV-2026-06-0002")
    assert july.total_cents == 99_00 + 5_00
    log.job("acme", "starter", "08-15", 100)
    _close(log, "2026-07")
    assert {name: digest for name, digest in _bytes(log).items() if name in before} == before
    august = _invoices(log, "2026-08")["beta"]
    assert [line.code for line in august.lines if line.code == "correction"] == [], "noted once"
    log.job("beta", "pro", "06-29", 1_000_000)
    (again,) = [line for line in _invoices(log, "2026-08")["beta"].lines if line.code == "correction"]
    assert (again.amount_cents, again.quantity) == (5_00, 1_000_000)


def test_a_correction_goes_by_the_prices_of_its_own_month(log: Log) -> None:
    _close(log)
    log.job("acme", "starter", "06-29", 100)
    note = [line for line in _invoices(log, "2026-07")["acme"].lines if line.code == "correction"]
    assert [(line.amount_cents, line.quantity) for line in note] == [(0, 100)]


def test_a_month_is_closed_once_and_in_order(log: Log) -> None:
    log.job("acme", "starter", "08-18", 100)
    _close(log, "2026-07")
    with pytest.raises(UsageError, match="closed already"):
        _prepare(log, "2026-06")
    with pytest.raises(UsageError, match="was closed at"):
        _prepare(log, "2026-07")


def test_a_month_is_not_closed_before_its_last_job_must_have_ended(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.job("acme", "pro", "06-05", 100)
    log.job("acme", "pro", "07-03", 100)
    with pytest.raises(InvariantError, match="complete to 2026-07-06T05:00"):
        _prepare(log)
    assert SETTLED_WITHIN_MS > 5 * 86_400_000


def test_a_month_with_a_job_in_flight_is_not_closed(log: Log) -> None:
    log.job("acme", "starter", "06-07", 300, "held")
    log.job("acme", "starter", "07-20", 100)
    with pytest.raises(InvariantError, match="1 jobs of 2026-06 have not ended, first job_"):
        _prepare(log)
    assert closed_months(billing_dir(log.folder)) == []


def test_a_month_that_does_not_tie_out_is_not_closed(log: Log) -> None:
    log.job("acme", "starter", "06-07", 300)
    log.events[-1]["compute_units"] = 400
    log.job("acme", "starter", "07-20", 100)
    with pytest.raises(InvariantError, match="reserved 300, charged 400"):
        _prepare(log)


def test_an_issued_file_that_was_touched_is_named(log: Log) -> None:
    _close(log)
    path = next((billing_dir(log.folder) / "2026-06" / "invoices").glob("*acme*"))
    path.write_text(path.read_text().replace("2925", "1925"))
    with pytest.raises(InvariantError, match=r"acme\.json is not the file that was issued"):
        read_closed(billing_dir(log.folder), "2026-06")


def test_of_two_closes_at_once_one_is_refused_and_nothing_is_left_beside(log: Log) -> None:
    closing = _prepare(log)
    folder = billing_dir(log.folder)
    close(folder, "2026-06", closing, BOOK, now_ms=NOW)
    with pytest.raises(StoreUnavailable, match="was not made"):
        close(folder, "2026-06", closing, BOOK, now_ms=NOW + 1)
    assert read_closed(folder, "2026-06")[0].closed_at_ms == NOW
    assert [path.name for path in folder.iterdir()] == ["2026-06"]


def test_a_close_without_its_manifest_does_not_count(log: Log) -> None:
    _close(log)
    (billing_dir(log.folder) / "2026-06" / MANIFEST).unlink()
    assert closed_months(billing_dir(log.folder)) == []


def test_a_synthetic_month_that_broke_off_can_be_closed_unless_a_platform_goes_on_with_it(log: Log) -> None:
    log.read()
    with Warehouse(log.folder) as warehouse:
        last = warehouse.files["events"][-1].last
    made = {
        "schema": "zjops.synthetic/1", "kind": "simulated", "seed": 1, "days": 40, "tenants": 10,
        "from": "2026-06-01T00:00:00.000Z", "to": "2026-07-11T00:00:00.000Z", "last": {"EVENTS": last},
    }  # fmt: skip
    _close(log)
    (log.folder / MARK).write_bytes(msgspec.json.encode(made))
    (log.folder.parent / RUN_FILE).touch()
    with pytest.raises(InvariantError, match="2026-07"):
        _prepare(log, "2026-07")
    (log.folder.parent / RUN_FILE).unlink()
    assert _prepare(log, "2026-07").invoices
    # Its end says that nothing of July is to come; of August it says nothing at all.
    with pytest.raises(UsageError, match=r"ends at 2026-07-10.*tells nothing of 2026-08"):
        _prepare(log, "2026-08")
