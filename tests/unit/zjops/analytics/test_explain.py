"""From a line back to its events."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.zjops.analytics.test_billing import Log
from zjops.analytics.close import close, prepare
from zjops.analytics.explain import Explained, explain
from zjops.analytics.issued import invoices_of
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import parse_rfc3339
from zjops.domain.closed import billing_dir
from zjops.domain.errors import UsageError
from zjops.domain.invoices import Invoice
from zjops.domain.plans import price_book

BOOK = price_book()
NOW = parse_rfc3339("2026-08-20T00:00:00Z")


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log(tmp_path / "log")
    for day in ("06-02", "06-03", "06-04"):
        made.job("acme", "starter", day, 400_000)
    made.job("beta", "starter", "06-03", 999)
    return made


def _explain(log: Log, code: str, month: str = "2026-06") -> tuple[Invoice, Explained]:
    log.read()
    with Warehouse(log.folder) as warehouse:
        place = billing_dir(log.folder)
        _, (made,) = invoices_of(warehouse, place, month, BOOK, now_ms=NOW, tenant="acme")
        number = next(n for n, line in enumerate(made.lines, 1) if line.code == code)
        return made, explain(warehouse, made, number, BOOK, NOW)


@pytest.mark.parametrize(
    ("code", "units"),
    [("included", [400_000, 400_000, 200_000]), ("buffer", [50_000]), ("overage", [150_000])],
    ids=["the first to be accepted", "then the buffer", "the rest of the last job"],
)
def test_a_usage_line_names_the_jobs_whose_units_it_bills(log: Log, code: str, units: list[int]) -> None:
    made, found = _explain(log, code)
    assert [row["units"] for row in found.rows] == units
    assert sum(units) == next(line.quantity for line in made.lines if line.code == code)
    assert all(row["event"] and row["job"].startswith("job_") for row in found.rows)


def test_a_confirmed_job_names_its_batch_and_transaction(log: Log) -> None:
    ending = log.events[1]
    log.events.append(ending | {
        "stream_seq": len(log.events) + 1, "event_id": b"c" * 16, "type": "confirmed", "batch_id": 7, "leaf_index": 3,
        "chain_sequence": 12, "tx_hash": b"\xab" * 32,
    })  # fmt: skip
    row = _explain(log, "included")[1].rows[0]
    assert (row["batch"], row["leaf"], row["chain sequence"]) == (7, 3, 12)
    assert row["transaction"] == "0x" + "ab" * 32


def test_a_fee_names_the_acts_that_set_the_plan_and_a_credit_its_grant(log: Log) -> None:
    log.act("tenant.create", "acme", "2026-05-01T00:00:00Z", plan="starter", overrides={})
    values: dict[str, Any] = {"microusd": 5_000_000, "creditId": "c1"}
    log.act("credit.grant", "acme", "2026-06-10T00:00:00Z", kind="credit", **values)
    assert [row["action"] for row in _explain(log, "plan-fee")[1].rows] == ["tenant.create"]
    (row,) = _explain(log, "credit")[1].rows
    assert (row["action"], json.loads(row["values"])["creditId"]) == ("credit.grant", "c1")


def test_a_correction_names_the_jobs_that_came_later(log: Log) -> None:
    log.job("acme", "starter", "07-10", 100)
    log.read()
    with Warehouse(log.folder) as warehouse:
        closing = prepare(warehouse, billing_dir(log.folder), "2026-06", BOOK, now_ms=NOW)
    close(billing_dir(log.folder), "2026-06", closing, BOOK, now_ms=NOW)
    log.job("acme", "starter", "06-30", 1_000)
    (row,) = _explain(log, "correction", "2026-07")[1].rows
    assert row["units"] == 1_000


def test_a_line_that_is_not_there_is_refused(log: Log) -> None:
    log.read()
    with Warehouse(log.folder) as warehouse:
        _, (made,) = invoices_of(warehouse, billing_dir(log.folder), "2026-06", BOOK, now_ms=NOW, tenant="acme")
        with pytest.raises(UsageError, match="lines 1 to 4"):
            explain(warehouse, made, 9, BOOK, NOW)
