"""Limits and bodies as callers meet them: addresses, proxies, caps, claim check, large results, filters, ids."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from simulator.gateway.addresses import ANONYMOUS_PER_HOUR
from tests.contract.stage import SIEVE, SLOW, Stage, new_key, staged
from tests.support.nats import eventually
from zjops.domain.clock import month_bounds_ms, rfc3339, utc_month
from zjops.domain.events import WORK
from zjops.domain.ids import job_key
from zjops.domain.jobs import CLAIM_CHECK_BYTES, INLINE_RESULT_BYTES


def aggregate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A job that sums these rows by group."""
    metrics = [{"column": "v", "function": "sum"}]
    parameters = {"algorithm": "aggregate", "rows": rows, "group_by": "g", "metrics": metrics}
    return {"jobType": "data_processing", "parameters": parameters}


async def test_only_requests_without_a_valid_token_count_against_an_address(stage: Stage) -> None:
    token = await stage.client("acme", "enterprise")
    stage.deps.addresses._buckets.clear()
    for _ in range(50):
        assert (await stage.ask("GET", "/v1/jobs/x", token)).status_code == 404
    assert not stage.deps.addresses._buckets
    told = [(await stage.ask("GET", "/v1/jobs")).status_code for _ in range(ANONYMOUS_PER_HOUR + 5)]
    assert told[: ANONYMOUS_PER_HOUR - 1] == [401] * (ANONYMOUS_PER_HOUR - 1)
    refused = await stage.ask("GET", "/v1/jobs")
    assert (refused.status_code, refused.json()["violated-policies"]) == (429, ["ip"])
    assert refused.headers["ratelimit-policy"] == f'"ip";q={ANONYMOUS_PER_HOUR};w=3600'
    assert (await stage.ask("GET", "/v1/jobs", token)).status_code == 200


async def test_an_address_is_believed_only_from_a_trusted_proxy(tmp_path: Path) -> None:
    for proxies, known in (("", "198.51.100.7"), ("198.51.100.7, 203.0.113.1", "203.0.113.9")):
        async with staged(tmp_path, trusted_proxies=proxies) as stage:
            stage.deps.addresses._buckets.clear()
            await stage.ask("GET", "/v1/jobs", X_Forwarded_For="192.0.2.1, 203.0.113.9, 203.0.113.1")
            assert list(stage.deps.addresses._buckets) == [known]


async def test_the_overage_cap_answers_429_until_the_month_ends(stage: Stage) -> None:
    token = await stage.client("acme", "starter", compute_units=200, buffer_percent=50, overage_enabled=True)
    told = [await stage.submit(token) for _ in range(5)]
    assert [reply.status_code for reply in told] == [202, 202, 202, 202, 429]
    left_s = (month_bounds_ms(utc_month(stage.deps.clock.now_ms()))[1] - stage.deps.clock.now_ms()) / 1000
    assert abs(int(told[4].headers["retry-after"]) - left_s) < 5
    assert told[4].json()["detail"] == "Maximum overage limit reached"
    assert told[1].headers["x-computeunits-buffer-remaining"] == "100"
    assert "x-computeunits-overage-applied" not in told[2].headers
    assert told[3].headers["x-computeunits-overage-applied"] == "100"
    assert told[3].headers["x-computeunits-overage-cost"] == "0.000500"


async def test_a_payload_over_the_brokers_limit_goes_by_claim_check(stage: Stage) -> None:
    token = await stage.client("acme", "pro")
    rows = [{"g": "a", "v": 1, "pad": "x" * 1000}] * (CLAIM_CHECK_BYTES // 1000 + 5)
    job = await stage.job(token, aggregate(rows))
    work = await stage.store.read(lambda tx: tx.all("outbox_after", stream=WORK, after=0, most=10))
    assert [len(row["payload"]) < 2_000 for row in work] == [True]
    row = await stage.store.read(lambda tx: tx.one("job_get", id=job_key(job)))
    assert row is not None
    assert row["parameters"] is None

    async def done() -> bool:
        view = (await stage.ask("GET", f"/v1/jobs/{job}", token)).json()
        assert view["status"] != "failed", view
        return view["status"] in ("completed", "confirmed")

    await eventually(done)
    assert str(len(rows)) in (await stage.ask("GET", f"/v1/jobs/{job}/result", token)).text


async def test_a_large_result_is_named_by_address_and_read_there(stage: Stage) -> None:
    token = await stage.client("acme", "pro")
    rows = [{"g": f"group-{n}", "v": n} for n in range(2_000)]
    reply = await stage.submit(token, aggregate(rows), Prefer="wait=20")
    view = reply.json()
    assert (reply.status_code, "result" in view) == (200, False), reply.text[:300]
    whole = await stage.ask("GET", view["resultUrl"], token)
    assert len(whole.content) > INLINE_RESULT_BYTES
    small = (await stage.submit(token, SIEVE, Prefer="wait=20")).json()
    assert "resultUrl" not in small


async def test_filters_are_combined_and_dates_are_half_open(stage: Stage) -> None:
    token = await stage.client("acme")
    for n, (status, job_type) in enumerate((s, t) for s in ("failed", "completed") for t in ("a", "b")):
        job = job_key(await stage.job(token, SLOW))
        kind = "compute_heavy" if job_type == "a" else "ml_inference"
        await stage.sql("UPDATE jobs SET status = :s, job_type = :t, accepted_at = :at WHERE id = :id",
                        s=status, t=kind, at=1_000 * (n + 1), id=job)  # fmt: skip

    async def total(query: str) -> int:
        found: int = (await stage.ask("GET", f"/v1/jobs?{query}", token)).json()["pagination"]["total"]
        return found

    assert await total("status=failed&jobType=compute_heavy") == 1
    assert await total("status=completed") == 2
    since, until = rfc3339(2_000), rfc3339(4_000)
    assert await total(f"fromDate={since}&toDate={until}") == 2
    assert await total(f"fromDate={since}&toDate={until}&status=failed") == 1
    assert await total(f"fromDate={since}&toDate={until}&status=failed&jobType=compute_heavy") == 0


async def test_a_running_job_keeps_its_status_and_says_when_its_end_was_asked_for(stage: Stage) -> None:
    token = await stage.client("acme")
    job = await stage.job(token, SLOW)
    await stage.sql("UPDATE jobs SET status = 'processing', started_at = 1 WHERE id = :id", id=job_key(job))
    reply = await stage.ask("POST", f"/v1/jobs/{job}/cancel", token)
    assert (reply.status_code, reply.json()) == (202, {"jobId": job, "status": "cancellation_requested"})
    view = (await stage.ask("GET", f"/v1/jobs/{job}", token)).json()
    assert view["status"] in ("processing", "cancelled")
    assert view["cancelRequestedAt"]


async def test_a_request_id_is_given_back_and_a_bad_one_is_not(stage: Stage) -> None:
    token = await stage.client("acme")
    good = await stage.ask("GET", "/v1/jobs", token, X_Request_Id="order-17.b")
    assert good.headers["x-request-id"] == "order-17.b"
    for bad in ("a b", "x" * 129, "<script>"):
        made = (await stage.ask("GET", "/v1/jobs", token, X_Request_Id=bad)).headers["x-request-id"]
        assert made != bad
        assert len(made) == 16
    error = await stage.ask("GET", "/v1/jobs/x", token, traceparent="00-" + "a1" * 16 + "-" + "b2" * 8 + "-01")
    assert error.json()["trace_id"] == "a1" * 16 == error.headers["traceparent"].split("-")[1]


async def test_the_breaker_opens_for_one_tenant_after_its_5xx_and_closes_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tenant that must be read anew from a broken store is not let in, and what is not let in does not count.
    monkeypatch.setattr("simulator.gateway.directory.REMEMBER_S", 600.0)
    token, other = await stage.client("acme", "enterprise"), await stage.client("rival", "enterprise")
    job = await stage.job(token, SLOW)
    for _ in range(2):
        await asyncio.gather(*(stage.ask("GET", "/v1/jobs/x", token) for _ in range(20)))
    assert (await stage.ask("GET", f"/v1/jobs/{job}", token)).status_code == 200
    stage.ready["store"] = False
    stage.store.fault = RuntimeError("broken")
    told = [(await stage.ask("GET", f"/v1/jobs/{job}", token)).json()["code"] for _ in range(60)]
    stage.store.fault = None
    assert told[-1] == "circuit-open"
    assert told.index("circuit-open") >= 40
    assert (await stage.ask("GET", "/v1/jobs", other)).status_code == 200
    assert (await stage.ask("GET", f"/v1/jobs/{job}", token)).status_code == 503
    stage.ready["store"] = True
    assert (await stage.ask("GET", f"/v1/jobs/{job}", token)).status_code == 200


async def test_a_large_submission_that_is_refused_leaves_no_payload_behind(stage: Stage) -> None:
    token, key = await stage.client("poor", "pro", compute_units=50, buffer_percent=0), new_key()
    large = aggregate([{"g": "a", "v": 1, "pad": "x" * 1000}] * (CLAIM_CHECK_BYTES // 1000 + 5))
    assert (await stage.submit(token, large, key)).status_code == 402
    assert not stage.deps.blobs._data
    await stage.sql("UPDATE tenants SET overrides = '{}' WHERE tenant = 'poor'")
    stage.deps.directory.forget("poor")
    first = await stage.submit(token, large, key)
    assert (first.status_code, len(stage.deps.blobs._data)) == (202, 1)
    await stage.sql(
        "UPDATE tenants SET overrides = '{\"compute_units\": 1, \"buffer_percent\": 0}' WHERE tenant = 'poor'"
    )
    stage.deps.directory.forget("poor")
    # A known key is answered before the quota is looked at.
    assert (await stage.submit(token, large, key)).content == first.content


async def test_fingerprints_that_are_always_new_do_not_fill_the_store(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.gateway.tenants.DEVICES_MOST", 5)
    token = await stage.client("restless")
    for number in range(12):
        await stage.ask("GET", "/v1/jobs", token, X_Device_Fingerprint=f"device-{number}")
    assert len(stage.deps.abuse._seen) == 5 + 1, "five devices and one address"
