"""What operators find behind their door (C85): every call in the audit log, jobs across tenants, reservations."""

from __future__ import annotations

from typing import Any

from simulator.api.admin.base import BASE
from tests.contract.stage import SIEVE, SLOW, Stage
from tests.support.nats import eventually


async def entries(stage: Stage, operator: str, action: str = "") -> list[dict[str, Any]]:
    """The audit log, in order, without what reading it adds."""
    query = f"&action={action}" if action else ""
    found: list[dict[str, Any]] = (await stage.ask("GET", f"{BASE}/audit-log?limit=1000{query}", operator)).json()[
        "entries"
    ]
    return [entry for entry in found if entry["action"] != "audit-log.read"]


async def test_every_call_is_in_the_audit_log_whatever_came_of_it(stage: Stage) -> None:
    operator = await stage.operator()
    calls = 0
    for one in stage.app.operations:
        if one.tag != "admin" or one.id == "readAuditLog":
            continue
        path = one.path.replace("{tenantId}", "nobody").replace("{jobId}", "job_x").replace("{", "").replace("}", "")
        before = len(await entries(stage, operator))
        reply = await stage.ask(one.method, path, operator, {} if one.body is not None else None)
        after = await entries(stage, operator)
        assert len(after) == before + 1, f"{one.id} answered {reply.status_code} and left {len(after) - before} entries"
        assert after[-1]["actor"] == "c-operations"
        if reply.status_code >= 400:
            told = {"operation": one.id, "status": reply.status_code, "code": reply.json()["code"]}
            assert (after[-1]["action"], after[-1]["details"]) == ("call.refused", told)
        calls += 1
    assert calls >= 20


async def test_an_act_is_told_on_ops_and_a_refusal_is_not(stage: Stage) -> None:
    operator = await stage.operator()

    async def ops() -> int:
        return len(await stage.store.read(lambda tx: tx.all("outbox_after", stream="OPS", after=0, most=100)))

    before = await ops()
    await stage.ask("PATCH", f"{BASE}/tenants/nobody", operator, {"plan": "pro"})
    assert await ops() == before
    await stage.ask("POST", f"{BASE}/tenants", operator, {"tenantId": "newco", "plan": "pro"})
    assert await ops() == before + 1


async def test_jobs_across_tenants_come_in_keyset_pages_and_by_reservation(stage: Stage) -> None:
    operator = await stage.operator()
    jobs = {}
    for tenant in ("one", "two"):
        token = await stage.client(tenant)
        jobs |= {await stage.job(token, SIEVE): tenant for _ in range(3)}
    jobs[held := await stage.job(token, SLOW)] = "two"
    seen: dict[str, str] = {}
    path = f"{BASE}/jobs?limit=3"
    while path:
        page = (await stage.ask("GET", path, operator)).json()
        seen |= {entry["job"]["jobId"]: entry["tenant"] for entry in page["jobs"]}
        assert len(page["jobs"]) <= 3
        path = f"{BASE}/jobs?limit=3&after={page['next']}" if page["next"] else ""
    assert seen == jobs
    assert (await stage.ask("GET", f"{BASE}/jobs?limit=1001", operator)).status_code == 400

    async def only_the_slow_one_is_held() -> bool:
        return len((await stage.ask("GET", f"{BASE}/jobs?charge=held", operator)).json()["jobs"]) == 1

    await eventually(only_the_slow_one_is_held)
    page = (await stage.ask("GET", f"{BASE}/jobs?charge=held&tenant=two", operator)).json()["jobs"]
    assert [(e["tenant"], e["plan"], e["charge"], e["job"]["jobId"]) for e in page] == [
        ("two", "starter", "held", held)
    ]  # fmt: skip
    charged = (await stage.ask("GET", f"{BASE}/jobs?charge=charged", operator)).json()["jobs"]
    assert len(charged) == 6
