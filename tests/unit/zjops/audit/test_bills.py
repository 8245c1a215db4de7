"""An invoice against raw events and the chain: what was changed anywhere is named."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.zjops.audit.world import START_MS, World
from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.warehouse import Warehouse
from zjops.audit.bills import Check, check_anchors, check_issued, check_lines
from zjops.audit.records import read_export
from zjops.domain.clock import utc_month
from zjops.domain.invoices import Invoice
from zjops.domain.plans import price_book

BOOK, MONTH, NOW = price_book(), utc_month(START_MS), START_MS + 10**9
OUTCOMES = ["done", "done", "fault", "crash", "late", "done"]


def _written(world: World, folder: Path) -> Path:
    world.audit(folder)
    return folder / "log"


def _draft(log: Path) -> Invoice:
    with Warehouse(log) as warehouse:
        return draft_invoices(read_month(warehouse, MONTH, BOOK, now_ms=NOW), BOOK)[0]


def _checks(invoice: Invoice, log: Path) -> dict[str, Check]:
    with Warehouse(log) as warehouse:
        found = check_lines(invoice, warehouse, BOOK, NOW) + check_issued(invoice, warehouse)
    return {check.name: check for check in found}


def _anchors(world: World, folder: Path) -> Check:
    log = _written(world, folder)
    invoice = _draft(log)
    with Warehouse(log) as warehouse:
        return check_anchors(invoice, warehouse, read_export(folder / "export.jsonl"), world)[0]


def test_an_invoice_of_the_log_holds(tmp_path: Path) -> None:
    log = _written(World(OUTCOMES), tmp_path)
    checks = _checks(_draft(log), log)
    assert [check.ok for check in checks.values()] == [True, True]
    assert "5 charged jobs, 500 units" in checks["usage"].text


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"quantity": 400}, "usage"), ({"amount_cents": 1}, "sum"), ({"unit_price_nanousd": 7}, "usage"),
    ],
    ids=["fewer units", "another amount", "another price"],
)  # fmt: skip
def test_a_line_that_was_changed_is_named(change: dict[str, Any], name: str, tmp_path: Path) -> None:
    log = _written(World(OUTCOMES), tmp_path)
    made = _draft(log)
    lines = [made.lines[0], msgspec.structs.replace(made.lines[1], **change)]
    checks = _checks(msgspec.structs.replace(made, lines=lines), log)
    assert not checks[name].ok
    if name == "usage":
        assert "line 2" in checks[name].text


def test_an_invoice_that_says_issued_and_was_not_is_named(tmp_path: Path) -> None:
    log = _written(World(OUTCOMES), tmp_path)
    forged = msgspec.structs.replace(_draft(log), state="issued", number="INV-2026-10-0001")
    assert not _checks(forged, log)["issued"].ok


def test_billed_usage_is_what_the_chain_was_told(tmp_path: Path) -> None:
    check = _anchors(World(OUTCOMES), tmp_path)
    assert check.ok
    assert "4 jobs in 2 batches" in check.text
    assert "1 were cancelled" in check.text


@pytest.mark.parametrize("field", ["compute_units", "payload_bytes", "accepted_at"])
def test_usage_that_was_billed_otherwise_than_the_chain_was_told_is_named(field: str, tmp_path: Path) -> None:
    world = World(OUTCOMES)
    for event in world.events:
        if event["job_id"] == world.events[0]["job_id"]:
            event[field] += 1
    check = _anchors(world, tmp_path)
    assert not check.ok
    assert world.rows[0].job_id in check.text or "batch 1" in check.text
