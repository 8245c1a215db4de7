"""What operators find behind their door (C85): every call in the audit log, jobs across tenants, reservations."""

from __future__ import annotations

import json
from typing import Any

from simulator.api.admin.base import BASE
from simulator.store.port import Tx
from simulator.store.queries import queries
from simulator.store.sqlite import SqliteTx
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


async def _audited(stage: Stage, operator: str, query: str) -> tuple[list[int], int | None]:
    page = (await stage.ask("GET", f"{BASE}/audit-log?{query}", operator)).json()
    return [entry["number"] for entry in page["entries"]], page["next"]


async def test_the_audit_log_is_read_from_its_newest_entry_back_to_a_moment(stage: Stage) -> None:
    operator = await stage.operator()
    for index in range(5):
        await stage.ask("POST", f"{BASE}/relayer", operator, {"paused": index % 2 == 0})
    acts = [entry for entry in await entries(stage, operator) if entry["action"].startswith("relayer.")]
    numbers = [entry["number"] for entry in acts]
    back = "sortOrder=desc&reads=false&limit=2"
    page, after = await _audited(stage, operator, back)
    assert (page, after) == (numbers[:-3:-1], numbers[-2])
    assert await _audited(stage, operator, f"{back}&before={after}") == (numbers[-3:-5:-1], numbers[-4])
    since = f"since={acts[-2]['at']}&reads=false&limit=100"
    wanted = [entry["number"] for entry in acts if entry["at"] >= acts[-2]["at"]]
    assert await _audited(stage, operator, since) == (wanted, None)
    assert await _audited(stage, operator, f"{since}&sortOrder=desc") == (wanted[::-1], None)
    assert await _audited(stage, operator, "since=2100-01-01T00:00:00Z") == ([], None)
    assert (await stage.ask("GET", f"{BASE}/audit-log?since=noon", operator)).status_code == 400


async def test_an_entry_is_found_by_its_moment_also_after_its_clock_was_set_back(stage: Stage) -> None:
    operator = await stage.operator()

    def put(tx: Tx) -> None:
        assert isinstance(tx, SqliteTx)
        tx._connection.executemany(
            "INSERT INTO audit_log (n, at, actor, action) VALUES (?, ?, 'clock', 'relayer.pause')",
            [(n, 4_000_000_000_000 + at) for n, at in ((9001, 30_000), (9002, -20_000), (9003, 5_000))],
        )

    await stage.store.transact(put)
    since = "since=2096-10-02T07:06:40Z&actor=clock"
    assert await _audited(stage, operator, since) == ([9001, 9003], None)
    assert await _audited(stage, operator, f"{since}&sortOrder=desc") == ([9003, 9001], None)


async def _plan(stage: Stage, name: str, **values: Any) -> str:
    """How SQLite will answer a named statement."""

    def explained(tx: Tx) -> str:
        assert isinstance(tx, SqliteTx)
        found = tx._connection.execute("EXPLAIN QUERY PLAN " + queries()[name], values).fetchall()
        return " ".join(str(row[3]) for row in found)

    return await stage.store.read(explained)


async def test_a_moment_of_the_audit_log_is_found_by_its_index(stage: Stage) -> None:
    newest = await _plan(
        stage, "audit_newest", after=0, before=9, since=0, actor=None, action=None, reads=0, most=9
    )  # fmt: skip
    first = await _plan(stage, "audit_from", since=1, back=60_000)
    assert "audit_by_time (at>? AND at<?)" in first
    assert "INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in newest, "between two numbers, and by no other order"
    assert "TEMP B-TREE" not in first + newest


async def test_open_batches_are_found_by_their_index_however_many_are_final(stage: Stage) -> None:
    operator = await stage.operator()

    def put(tx: Tx) -> None:
        assert isinstance(tx, SqliteTx)
        tx._connection.executemany(
            "INSERT INTO batches (id, first_sequence, count, root, state, closed_at) VALUES (?, ?, 1, x'00', ?, 0)",
            [(n, 10**6 + n, state) for n, state in enumerate(("final", "sent", "mined", "sent", "final"), 1001)],
        )

    await stage.store.transact(lambda tx: tx.run("setting_put", name="relayer_paused", value="1"))
    await stage.store.transact(put)
    assert "INDEX batches_open" in await _plan(stage, "batches_page_open", before=None, state="sent", most=9)
    for state, wanted in (("sent", [1004, 1002]), ("mined", [1003]), ("final", [1005, 1001])):
        page = (await stage.ask("GET", f"{BASE}/batches?state={state}&limit=2", operator)).json()
        assert [one["batchId"] for one in page["batches"] if one["batchId"] > 1000] == wanted
    below = (await stage.ask("GET", f"{BASE}/batches?state=sent&before=1004", operator)).json()
    assert [one["batchId"] for one in below["batches"]] == [1002]


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


async def test_cancelling_any_job_tells_who_why_and_how_it_was(stage: Stage) -> None:
    operator, owner = await stage.operator(), await stage.client("acme")
    job = await stage.job(owner, SLOW)
    await eventually(lambda: _has_status(stage, owner, job, "processing"))
    reply = await stage.ask("POST", f"{BASE}/jobs/{job}/cancel", operator, {"reason": "runs wild"})
    assert reply.json() == {"jobId": job, "status": "cancellation_requested"}
    (entry,) = await entries(stage, operator, "job.cancel")
    assert (entry["actor"], entry["target"], entry["reason"]) == ("c-operations", "acme", "runs wild")
    assert entry["details"] == {"job": job, "before": "processing"}
    (told,) = await _ops(stage, "job.cancel")
    assert (told["actor"], told["reason"], told["values"]) == ("c-operations", "runs wild", entry["details"])
    await eventually(lambda: _has_status(stage, owner, job, "cancelled"))


async def test_a_cancellation_that_is_refused_leaves_job_and_events_alone(stage: Stage) -> None:
    operator, owner = await stage.operator(), await stage.client("acme")
    job = await stage.job(owner)
    await eventually(lambda: _has_status(stage, owner, job, "confirmed"))
    reply = await stage.ask("POST", f"{BASE}/jobs/{job}/cancel", operator, {"reason": "too late"})
    assert (reply.status_code, reply.json()["code"]) == (409, "job-not-cancellable")
    assert await entries(stage, operator, "job.cancel") == await _ops(stage, "job.cancel") == []
    assert await _has_status(stage, owner, job, "confirmed")


async def test_a_delivery_that_an_operator_sends_again_is_attempted_and_told(stage: Stage) -> None:
    operator, owner = await stage.operator(), await stage.client("acme")
    await stage.ask("POST", "/v1/webhooks/endpoints", owner, {"url": "http://127.0.0.1:9/hook"})
    job = await stage.job(owner)

    async def deliveries(state: str, attempts: int) -> bool:
        found = await stage.ask("POST", f"{BASE}/deliveries/search", operator, {"jobIds": [job]})
        told = [(one["state"], one["attempts"]) for one in found.json()["deliveries"] if one["type"] == "job.completed"]
        return told == [(state, attempts)]

    await eventually(lambda: deliveries("failed", 5))
    found = await stage.ask("POST", f"{BASE}/deliveries/search", operator, {"jobIds": [job, job]})
    name = found.json()["deliveries"][0]["deliveryId"]
    reply = await stage.ask("POST", f"{BASE}/deliveries/{name}/redeliver", operator, {"reason": "it is up again"})
    assert (reply.status_code, reply.json()["state"], reply.json()["deliveryId"]) == (202, "pending", name)
    await eventually(lambda: deliveries("failed", 6))
    (entry,) = await entries(stage, operator, "delivery.redeliver")
    assert (entry["target"], entry["reason"]) == ("acme", "it is up again")
    assert entry["details"] == {"delivery": name, "job": job}
    assert len(await _ops(stage, "delivery.redeliver")) == 1


async def _has_status(stage: Stage, token: str, job: str, status: str) -> bool:
    return bool((await stage.ask("GET", f"/v1/jobs/{job}/status", token)).json()["status"] == status)


async def _ops(stage: Stage, action: str) -> list[dict[str, Any]]:
    """The data of the OPS events of an action."""
    rows = await stage.store.read(lambda tx: tx.all("outbox_after", stream="OPS", after=0, most=1000))
    told = [json.loads(row["payload"])["data"] for row in rows]
    return [data for data in told if data["action"] == action]
