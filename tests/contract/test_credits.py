"""Credits (S11): each granted once whatever is repeated, told with what an invoice needs, refused where none can be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.contract.stage import SIEVE, Stage, new_key
from tests.support.nats import eventually
from zjops.domain.clock import month_bounds_ms, utc_month
from zjops.domain.logfiles import log_files

ADMIN = "/v1/admin"


def _credit(stage: Stage, **changes: Any) -> dict[str, Any]:
    month = utc_month(stage.deps.clock.now_ms())
    return {"amountMicrousd": 5_000_000, "month": month, "reason": "outage of the 3rd"} | changes


async def _grant(stage: Stage, operator: str, tenant: str, body: dict[str, Any], key: str) -> Any:
    return await stage.ask("POST", f"{ADMIN}/tenants/{tenant}/credits", operator, body, Idempotency_Key=key)


async def _told(stage: Stage) -> list[dict[str, Any]]:
    """The credits that the outbox tells of."""
    rows = await stage.store.read(lambda tx: tx.all("outbox_after", stream="OPS", after=0, most=100))
    events = [json.loads(row["payload"]) for row in rows if row["subject"] == "ops.credit"]
    return [event["data"] for event in events]


async def test_a_credit_is_told_with_what_an_invoice_needs(stage: Stage, tmp_path: Path) -> None:
    operator, key = await stage.operator(), new_key()
    job = await stage.job(await stage.client("acme", "pro"), SIEVE)
    body = _credit(stage, jobId=job)
    made = (await _grant(stage, operator, "acme", body, key)).json()
    assert made["creditId"] == key
    assert made["tenantId"] == "acme"
    assert made["grantedBy"] == "c-operations"
    (event,) = await _told(stage)
    assert (event["kind"], event["action"], event["tenant"], event["reason"]) == (
        "credit", "credit.grant", "acme", body["reason"],
    )  # fmt: skip
    assert event["values"] == {"microusd": 5_000_000, "month": body["month"], "creditId": key, "job": job}

    def logged() -> list[dict[str, Any]]:
        frames = [pl.read_parquet(file.path) for file in log_files(tmp_path / "ops")]
        return [row for frame in frames for row in frame.to_dicts() if row["kind"] == "credit"]

    await eventually(lambda: len(logged()) == 1)
    assert json.loads(logged()[0]["values"]) == event["values"]
    audit = (await stage.ask("GET", f"{ADMIN}/audit-log?action=credit.grant", operator)).json()["entries"]
    assert [(entry["target"], entry["details"]["creditId"]) for entry in audit] == [("acme", key)]


async def test_a_credit_for_no_job_names_none(stage: Stage) -> None:
    operator = await stage.operator()
    await stage.client("acme")
    assert (await _grant(stage, operator, "acme", _credit(stage), new_key())).json()["jobId"] is None
    assert "job" not in (await _told(stage))[0]["values"]


async def test_repeats_at_once_and_later_are_one_credit(stage: Stage) -> None:
    operator, key, body = await stage.operator(), new_key(), _credit(stage)
    await stage.client("acme")
    replies = await asyncio.gather(*(_grant(stage, operator, "acme", body, key) for _ in range(5)))
    replies.append(await _grant(stage, operator, "acme", body, f'"{key}"'))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.text for reply in replies}) == 1
    assert sum("idempotent-replayed" in reply.headers for reply in replies) == 5
    assert len(await _told(stage)) == 1
    listed = (await stage.ask("GET", f"{ADMIN}/tenants/acme/credits", operator)).json()["credits"]
    assert [credit["creditId"] for credit in listed] == [key]
    repeated = (await stage.ask("GET", f"{ADMIN}/audit-log?action=credit.repeat", operator)).json()["entries"]
    assert len(repeated) == 5


@pytest.mark.parametrize(
    "change",
    [{"amountMicrousd": 1}, {"reason": "another"}, {"month": "2026-01"}, {"jobId": "job_1"}],
    ids=["another amount", "another reason", "another month", "another job"],
)
async def test_another_credit_under_the_same_key_is_refused(stage: Stage, change: dict[str, Any]) -> None:
    operator, key = await stage.operator(), new_key()
    await stage.client("acme")
    await _grant(stage, operator, "acme", _credit(stage), key)
    refused = await _grant(stage, operator, "acme", _credit(stage) | change, key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")
    assert len(await _told(stage)) == 1


async def test_a_key_is_one_credit_of_one_tenant(stage: Stage) -> None:
    operator, key = await stage.operator(), new_key()
    for tenant in ("acme", "rival"):
        await stage.client(tenant)
    replies = [await _grant(stage, operator, tenant, _credit(stage), key) for tenant in ("acme", "rival")]
    assert [reply.status_code for reply in replies] == [201, 422]


async def test_what_can_be_on_no_invoice_is_refused_and_changes_nothing(stage: Stage) -> None:
    operator = await stage.operator()
    rival = await stage.job(await stage.client("rival"), SIEVE)
    await stage.client("acme")
    await stage.client("prober")
    now = stage.deps.clock.now_ms()
    later = utc_month(month_bounds_ms(utc_month(now))[1])
    cases = [
        ("acme", {"month": later}, "#/month"), ("acme", {"month": "2001-01"}, "#/month"),
        ("acme", {"month": "2026-13"}, "#/month"), ("acme", {"amountMicrousd": 0}, "#/amountMicrousd"),
        ("acme", {"amountMicrousd": 10**12 + 1}, "#/amountMicrousd"),
        ("acme", {"amountMicrousd": 1.5}, "#/amountMicrousd"), ("acme", {"reason": ""}, "#/reason"),
        ("prober", {}, "#/month"),
    ]  # fmt: skip
    for tenant, change, pointer in cases:
        refused = await _grant(stage, operator, tenant, _credit(stage) | change, new_key())
        assert refused.status_code == 422, (change, refused.text)
        assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    for job in (rival, "job_1"):
        refused = await _grant(stage, operator, "acme", _credit(stage) | {"jobId": job}, new_key())
        assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
    assert await _told(stage) == []
    assert await stage.store.read(lambda tx: tx.all("credits_of", tenant="acme", month=None, after=0, most=9)) == []


async def test_credits_are_listed_page_by_page_and_by_month(stage: Stage) -> None:
    operator = await stage.operator()
    await stage.client("acme")
    await stage.sql("UPDATE tenants SET created_at = 0")
    months = ["2026-01", "2026-02", "2026-01", "2026-02", "2026-01"]
    for amount, month in enumerate(months, 1):
        reply = await _grant(stage, operator, "acme", _credit(stage, month=month, amountMicrousd=amount), new_key())
        assert reply.status_code == 201, reply.text
    seen, path = [], f"{ADMIN}/tenants/acme/credits?limit=2"
    while path:
        page = (await stage.ask("GET", path, operator)).json()
        seen += [credit["amountMicrousd"] for credit in page["credits"]]
        path = f"{ADMIN}/tenants/acme/credits?limit=2&after={page['next']}" if page["next"] else ""
    assert seen == [1, 2, 3, 4, 5]
    second = (await stage.ask("GET", f"{ADMIN}/tenants/acme/credits?month=2026-02", operator)).json()["credits"]
    assert [credit["amountMicrousd"] for credit in second] == [2, 4]
