"""Issued invoices by the interface (S6): a tenant's own, as they were issued, newest first, never an altered one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stage import Stage, staged
from zjops.analytics.close import Closing, close
from zjops.analytics.tieout import TieOut
from zjops.domain.clock import month_bounds_ms
from zjops.domain.closed import billing_dir
from zjops.domain.invoices import Invoice, Usage, invoice_of, issued, month_term
from zjops.domain.plans import price_book

PATH = "/v1/billing/invoices"
BOOK = price_book()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path / "log") as found:
        yield found


def _issue(folder: Path, month: str, **units: int) -> dict[str, Invoice]:
    made: dict[str, Invoice] = {}
    for number, (tenant, used) in enumerate(sorted(units.items()), 1):
        usage = Usage(tenant, month, (month_term(BOOK.plan("pro", {"overage_enabled": True}), month, used, 3),))
        draft = invoice_of(usage, BOOK, watermark_ms=month_bounds_ms(month)[1])
        made[tenant] = issued(draft, f"INV-{month}-{number:04d}", month_bounds_ms(month)[1])
    tied = TieOut(month, [], [], [], [], 0)
    close(folder, month, Closing(list(made.values()), tied, month_bounds_ms(month)[1]), BOOK, now_ms=1)
    return made


async def _invoices(stage: Stage, token: str, query: str = "") -> dict[str, Any]:
    reply = await stage.ask("GET", PATH + query, token)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_a_tenant_reads_its_own_invoices_with_their_lines(stage: Stage, tmp_path: Path) -> None:
    token = await stage.client("acme", "pro")
    assert await _invoices(stage, token) == {"invoices": [], "next": None}, "before any month was closed"
    made = _issue(billing_dir(tmp_path / "log"), "2026-09", acme=120_000_000, other=5, **{"an-acme": 7})
    (found,) = (await _invoices(stage, token))["invoices"]
    ours = made["acme"]
    assert (found["number"], found["state"], found["month"]) == (ours.number, "issued", "2026-09")
    assert found["totalCents"] == ours.total_cents == sum(line["amountCents"] for line in found["lines"])
    assert [line["code"] for line in found["lines"]] == [line.code for line in ours.lines]
    assert found["computeUnitsOverage"] == ours.units.overage > 0
    assert (found["issueDate"], found["dueDate"]) == ("2026-10-01", "2026-10-15")


async def test_they_come_newest_first_and_page_by_month(stage: Stage, tmp_path: Path) -> None:
    token, months = await stage.client("acme", "pro"), [f"2026-{n:02d}" for n in range(1, 6)]
    for month in months:
        _issue(billing_dir(tmp_path / "log"), month, **({"other": 1} if month == "2026-03" else {"acme": 1}))
    seen, query = [], "?limit=2"
    while True:
        page = await _invoices(stage, token, query)
        seen += [invoice["month"] for invoice in page["invoices"]]
        if page["next"] is None:
            break
        query = f"?limit=2&before={page['next']}"
    assert seen == ["2026-05", "2026-04", "2026-02", "2026-01"]
    assert (await _invoices(stage, token, "?month=2026-03"))["invoices"] == []
    assert [one["month"] for one in (await _invoices(stage, token, "?month=2026-02"))["invoices"]] == ["2026-02"]


async def test_one_that_was_altered_is_not_served(stage: Stage, tmp_path: Path) -> None:
    token, folder = await stage.client("acme", "pro"), billing_dir(tmp_path / "log")
    _issue(folder, "2026-09", acme=1)
    (path,) = folder.glob("2026-09/invoices/*.json")
    path.write_bytes(path.read_bytes().replace(b'"issued"', b'"issuad"'))
    reply = await stage.ask("GET", PATH, token)
    assert reply.status_code == 500
    assert reply.json()["code"] == "internal-error"
    assert str(folder) not in reply.text, "whoever is outside learns no path"


async def test_a_filter_that_is_none_and_a_scope_that_is_missing_are_refused(stage: Stage) -> None:
    token = await stage.client("acme", "pro")
    for query in ("?month=2026-13", "?before=x", "?limit=0", "?limit=121", "?year=2026"):
        assert (await stage.ask("GET", PATH + query, token)).status_code in (400, 422), query
