"""The operators' door and what answers without a token."""

import json
from typing import Any

from simulator.chain.memory import MemoryChain
from tests.support.nats import eventually
from tests.unit.simulator.api.conftest import Api
from tests.unit.simulator.api.test_jobs import SIEVE
from zjops.domain.clock import rfc3339
from zjops.domain.errors import ChainUnavailable
from zjops.domain.events import replay_subject
from zjops.domain.merkle import Tree


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_tenant_is_made_changed_and_suspended(api: Api) -> None:
    operator = _bearer(await api.operator())
    made = await api.http.post("/v1/admin/tenants", json={"tenantId": "new", "plan": "pro"}, headers=operator)
    assert made.status_code == 201
    assert len(made.json()["clientSecret"]) > 40
    again = await api.http.post("/v1/admin/tenants", json={"tenantId": "new", "plan": "pro"}, headers=operator)
    assert again.status_code == 409
    changed = await api.http.patch("/v1/admin/tenants/new", json={"plan": "starter"}, headers=operator)
    assert changed.json()["computeUnitsLimit"] == 10_000_000
    assert changed.json()["nextPlan"] == "starter"
    token = await api.client("acme")
    await api.http.patch("/v1/admin/tenants/acme", json={"status": "suspended", "reason": "test"}, headers=operator)
    refused = await api.submit(token, SIEVE)
    assert (refused.status_code, refused.json()["code"]) == (403, "tenant-suspended")


async def test_wrong_plans_and_fields_are_refused(api: Api) -> None:
    operator = _bearer(await api.operator())
    for body in ({"tenantId": "x", "plan": "gold"}, {"tenantId": "X Y", "plan": "pro"}, {"plan": "pro"}):
        reply = await api.http.post("/v1/admin/tenants", json=body, headers=operator)
        assert (reply.status_code, reply.json()["code"]) == (422, "validation-failed")
    assert (await api.http.get("/v1/admin/tenants/nobody", headers=operator)).status_code == 404


async def test_the_export_holds_every_job_of_every_tenant(api: Api) -> None:
    operator = await api.operator()
    jobs = {(await api.submit(await api.client(t), SIEVE)).json()["jobId"] for t in ("one", "two")}
    text = (await api.get(operator, "/v1/admin/export")).text
    head, *lines = (json.loads(line) for line in text.splitlines())
    assert (head["schema"], head["jobs"]) == ("zjops.export/1", 2)
    assert {line["job"]["jobId"] for line in lines if "job" in line} == jobs


async def test_a_paused_relayer_confirms_nothing_until_it_goes_on(api: Api) -> None:
    operator, token = _bearer(await api.operator()), await api.client("acme")
    assert (await api.http.post("/v1/admin/relayer", json={"paused": True}, headers=operator)).json() == {
        "paused": True,
        "openBatches": 0,
    }
    job = (await api.submit(token, SIEVE)).json()["jobId"]

    async def status(wanted: str) -> bool:
        return (await api.get(token, f"/v1/jobs/{job}/status")).json()["status"] == wanted

    await eventually(lambda: status("completed"))
    assert (await api.get(token, f"/v1/jobs/{job}/proof")).json()["code"] == "not-final"
    await api.http.post("/v1/admin/relayer", json={"paused": False}, headers=operator)
    await eventually(lambda: status("confirmed"))


class Consumer:
    """Adds up the compute units of completed jobs, once for each CloudEvents id however often that is told."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}
        self.told, self.units = 0, 0

    async def take(self, subject: str, data: bytes) -> None:
        """One event, by whatever way it comes."""
        event = json.loads(data)
        self.told += 1
        if event["id"] not in self.taken:
            self.taken[event["id"]] = data
            self.units += event["data"]["compute_units"] if subject.endswith("completed") else 0


class TestReplay:
    """Events of the log once more, beside it."""

    async def _log(self, api: Api, count: int = 3) -> list[Any]:
        """The events of some confirmed jobs of two tenants, as the log has them."""
        for tenant in ("acme", "rival"):
            token = await api.client(tenant)
            for _ in range(count):
                assert (await api.submit(token, SIEVE)).status_code == 202
        broker, wanted = api.platform.ports.broker, 2 * count * 4

        async def all_there() -> bool:
            return (await broker.last("EVENTS"))[0] == wanted

        await eventually(all_there)
        return await broker.read("EVENTS", 1_000)

    async def _hear(self, api: Api, name: str) -> list[tuple[str, bytes]]:
        heard: list[tuple[str, bytes]] = []

        async def note(subject: str, data: bytes) -> None:
            heard.append((subject, data))

        await api.platform.ports.broker.listen(replay_subject(name, ">"), note)
        return heard

    async def test_events_come_again_byte_for_byte_page_by_page_and_the_log_stays(self, api: Api) -> None:
        operator, log = _bearer(await api.operator()), await self._log(api)
        heard = await self._hear(api, "repair")
        ask = {"reason": "lost consumer", "name": "repair", "fromSequence": 1, "limit": 10}
        counts = []
        while True:
            reply = await api.http.post("/v1/admin/events/replay", json=ask, headers=operator)
            assert reply.status_code == 200, reply.text
            found = reply.json()
            counts.append(found["replayed"])
            if found["next"] is None:
                break
            ask |= {"fromSequence": found["next"], "toSequence": found["toSequence"]}
        assert counts == [10, 10, 4]
        assert found["subject"] == "replay.repair.>"
        await eventually(lambda: len(heard) == len(log))
        assert heard == [(f"replay.repair.{event.subject}", event.data) for event in log]
        assert await api.platform.ports.broker.read("EVENTS", 1_000) == log

    async def test_a_consumer_that_lost_some_is_whole_after_a_replay_and_another_one_changes_nothing(
        self, api: Api
    ) -> None:
        operator, log = _bearer(await api.operator()), await self._log(api)
        whole, consumer = Consumer(), Consumer()
        for event in log:
            await whole.take(event.subject, event.data)
        assert len(whole.taken) == len(log)
        completed = next(event for event in log if event.subject == "jobs.completed")
        for event in log:
            if event is not completed and event.sequence % 3:
                await consumer.take(event.subject, event.data)
        assert consumer.taken.keys() < whole.taken.keys()
        assert consumer.units < whole.units
        await api.platform.ports.broker.listen(replay_subject("repair", ">"), consumer.take)
        first = consumer.told
        for told in (first + len(log), first + 2 * len(log)):
            body = {"reason": "it lost some", "name": "repair", "fromSequence": 1}
            reply = await api.http.post("/v1/admin/events/replay", json=body, headers=operator)
            assert reply.json()["replayed"] == len(log)
            await eventually(lambda told=told: consumer.told == told)
            assert consumer.taken == whole.taken
            assert consumer.units == whole.units

    async def test_of_one_type_tenant_or_job_or_time(self, api: Api) -> None:
        operator, log = _bearer(await api.operator()), await self._log(api)
        job = json.loads(log[0].data)["subject"]
        moments = [rfc3339(log[n].timestamp_ms) for n in (0, -1)]
        late = rfc3339(log[-1].timestamp_ms + 60_000)
        for chosen, count in (
            ({"fromSequence": 1, "type": "confirmed"}, 6), ({"fromSequence": 1, "tenant": "acme"}, 12),
            ({"fromSequence": 1, "jobId": job}, 4), ({"fromSequence": 5, "toSequence": 8}, 4),
            ({"since": moments[0], "until": moments[1]}, 24), ({"since": late}, 0),
            ({"fromSequence": 1, "until": "2020-01-01T00:00:00Z"}, 0), ({"fromSequence": 99}, 0),
            ({"fromSequence": 1, "jobId": job, "tenant": "nobody"}, 0),
        ):  # fmt: skip
            body = {"reason": "r"} | chosen
            reply = await api.http.post("/v1/admin/events/replay", json=body, headers=operator)
            assert (reply.json()["replayed"], reply.json()["next"]) == (count, None), chosen

    async def test_it_is_in_the_audit_log_and_an_event_itself(self, api: Api) -> None:
        operator = _bearer(await api.operator())
        body = {"reason": "rebuild the search index", "fromSequence": 1}
        made = await api.http.post("/v1/admin/events/replay", json=body, headers=operator)
        log = await api.http.get("/v1/admin/audit-log?action=events.replay", headers=operator)
        (entry,) = log.json()["entries"]
        assert (entry["reason"], entry["actor"]) == ("rebuild the search index", "c-operations")
        assert entry["details"]["name"] == made.json()["name"]

        async def told() -> bool:
            events = await api.platform.ports.broker.read("OPS", 100)
            return any(json.loads(event.data)["data"]["action"] == "events.replay" for event in events)

        await eventually(told)
        ops = {"reason": "r", "fromSequence": 1, "stream": "OPS", "type": "action"}
        again = await api.http.post("/v1/admin/events/replay", json=ops, headers=operator)
        assert again.json()["replayed"] == 1

    async def test_what_cannot_be_meant_is_refused(self, api: Api) -> None:
        operator = _bearer(await api.operator())
        for body, pointer in (
            ({"fromSequence": 1}, "reason"), ({"reason": "", "fromSequence": 1}, "reason"),
            ({"reason": " \n", "fromSequence": 1}, "reason"),
            ({"reason": "r", "since": "yesterday"}, "since"),
            ({"reason": "r", "since": "2026-01-01T00:00:00"}, "since"),
            ({"reason": "r", "fromSequence": 1, "type": "lost"}, "type"),
            ({"reason": "r", "fromSequence": 1, "stream": "WORK"}, "stream"),
            ({"reason": "r", "fromSequence": 1, "name": "a.b"}, "name"),
            ({"reason": "r", "fromSequence": 0}, "fromSequence"),
        ):  # fmt: skip
            reply = await api.http.post("/v1/admin/events/replay", json=body, headers=operator)
            assert (reply.status_code, reply.json()["code"]) == (422, "validation-failed"), body
            assert reply.json()["errors"][0]["pointer"] == f"#/{pointer}", reply.text
        for body in (
            {"reason": "r", "type": "tenant"},
            {"reason": "r", "stream": "OPS", "jobId": "job_1"},
            {"reason": "r", "since": "2099-01-01T00:00:00Z", "fromSequence": 1},
        ):
            reply = await api.http.post("/v1/admin/events/replay", json=body, headers=operator)
            assert (reply.status_code, reply.json()["replayed"]) == (200, 0), "a range without such an event is empty"
        assert (await api.http.post("/v1/admin/events/replay", json={}, headers=_bearer(
            await api.client("acme")))).status_code == 403  # fmt: skip


async def test_health_metadata_and_metrics_need_no_token(api: Api) -> None:
    assert (await api.http.get("/livez")).json() == {"status": "ok"}
    assert (await api.http.get("/readyz")).json()["ready"] is True
    metadata = (await api.http.get("/.well-known/oauth-authorization-server/realms/zama")).json()
    assert metadata["token_endpoint"].endswith("/protocol/openid-connect/token")
    keys = (await api.http.get("/realms/zama/protocol/openid-connect/certs")).json()["keys"]
    assert [set(key) & {"d"} for key in keys] == [set()]
    assert keys[0]["alg"] == "ES256"
    text = (await api.http.get("/metrics")).text
    assert 'http_requests_total{method="GET"' in text
    assert (await api.http.get("/openapi.json")).json()["openapi"].startswith("3.1")


async def test_batches_come_newest_first_in_pages_with_leaves_that_give_the_root(api: Api) -> None:
    operator, token = await api.operator(), await api.client("acme")
    for number in range(3):
        job = (await api.submit(token, SIEVE)).json()["jobId"]

        async def final(job: str = job) -> bool:
            return (await api.get(token, f"/v1/jobs/{job}/status")).json()["status"] == "confirmed"

        await eventually(final)
        assert len((await api.get(operator, "/v1/admin/batches")).json()["batches"]) == number + 1
    seen, path = [], "/v1/admin/batches?limit=2"
    while path:
        page = (await api.get(operator, path)).json()
        seen += page["batches"]
        path = f"/v1/admin/batches?limit=2&before={page['next']}" if page["next"] else ""
    assert [batch["batchId"] for batch in seen] == [3, 2, 1]
    assert {batch["state"] for batch in seen} == {"final"}
    assert (await api.get(operator, "/v1/admin/batches?state=sent")).json() == {"batches": [], "next": None}
    newest = (await api.get(operator, "/v1/admin/batches/3")).json()
    assert [leaf["jobId"] for leaf in newest["leaves"]] == [job]
    hashes = [bytes.fromhex(leaf["hash"][2:]) for leaf in newest["leaves"]]
    assert "0x" + Tree(hashes).root.hex() == newest["root"] == seen[0]["root"]
    for name in ("0", "4", "x", "-1", "9" * 16, "9" * 99, "1.0"):
        reply = await api.get(operator, f"/v1/admin/batches/{name}")
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found"), name


async def test_the_relayer_shows_its_owner_what_waits_and_what_it_last_said(api: Api) -> None:
    operator, token = await api.operator(), await api.client("acme")
    await api.http.post("/v1/admin/relayer", json={"paused": True}, headers=_bearer(operator))
    await api.submit(token, SIEVE)

    async def waits() -> bool:
        return bool((await api.get(operator, "/v1/admin/relayer")).json()["waitingJobs"] == 1)

    await eventually(waits)
    view = (await api.get(operator, "/v1/admin/relayer")).json()
    assert (view["paused"], view["openBatches"], view["openJobs"], view["spentWei"]) == (True, 0, 0, "0")
    assert view["owner"] is not None
    assert view["epoch"] >= 1
    assert view["oldestWaitingMs"] >= 0
    said = {"state": "waiting", "reason": "fees above the ceiling", "since_ms": 0, "owner": "x", "address": "0x11",
            "balance_wei": "5", "nonce": 3, "fee_wei": "7"}  # fmt: skip
    store = api.platform.ports.store
    for value in (json.dumps(said), '{"state":5}'):
        await store.transact(lambda tx, value=value: tx.run("setting_put", name="relayer_state", value=value))
        view = (await api.get(operator, "/v1/admin/relayer")).json()
        known = value != '{"state":5}'
        assert (view["state"], view["reason"]) == (("waiting", said["reason"]) if known else ("unknown", None))
        assert (view["address"], view["balanceWei"], view["feeWei"]) == (("0x11", "5", "7") if known else (None,) * 3)


class TestReanchoring:
    """What was final and is gone, anchored again by an operator's word."""

    async def _lost(self, api: Api, operator: str) -> MemoryChain:
        """Two final batches whose blocks and transactions are gone; the relayer has stopped, its chain is away."""
        token = await api.client("acme")
        for number in (1, 2):
            await api.submit(token, SIEVE)
            await eventually(lambda number=number: self._states(api, operator, ["final"] * number))
        chain = api.platform.ports.chain
        assert isinstance(chain, MemoryChain)
        head = await chain.block("latest")
        assert head is not None
        chain.reorg(head.number - 1)
        await eventually(lambda: self._is(api, operator, "paused", "reorg_beyond_finality"))
        chain.fault = ChainUnavailable("away")
        return chain

    async def _states(self, api: Api, operator: str, wanted: list[str]) -> bool:
        batches = (await api.get(operator, "/v1/admin/batches")).json()["batches"]
        return [batch["state"] for batch in batches] == wanted

    async def _is(self, api: Api, operator: str, state: str, reason: str = "") -> bool:
        view = (await api.get(operator, "/v1/admin/relayer")).json()
        return bool(view["state"] == state and (view["reason"] or "").startswith(reason))

    async def _ask(self, api: Api, operator: str, **body: Any) -> Any:
        return await api.http.post("/v1/admin/relayer/reanchor", json=body, headers=_bearer(operator))

    async def test_it_is_asked_shown_done_and_on_record(self, api: Api) -> None:
        operator = await api.operator()
        chain = await self._lost(api, operator)
        reply = await self._ask(api, operator, reason="the fork of Tuesday")
        assert reply.status_code == 202
        assert (reply.json()["batch"], reply.json()["actor"], reply.json()["refused"]) == (None, "c-operations", None)
        await eventually(lambda: self._is(api, operator, "waiting", "rpc_unavailable"))
        assert (await api.get(operator, "/v1/admin/relayer")).json()["reanchor"] == reply.json()
        chain.fault = None
        await eventually(lambda: self._is(api, operator, "active"))
        await eventually(lambda: self._states(api, operator, ["final", "final"]))
        view = (await api.get(operator, "/v1/admin/relayer")).json()
        assert (view["paused"], view["reanchor"]) == (False, None)
        for batch in (await api.get(operator, "/v1/admin/batches")).json()["batches"]:
            (repair,) = batch["repairs"]
            assert (repair["act"], repair["actor"], repair["root"]) == ("send", "c-operations", batch["root"])
            assert repair["blockHash"] != batch["blockHash"]
        assert (await api.get(operator, "/v1/admin/batches/1")).json()["repairs"][0]["finalAt"] is not None
        log = (await api.get(operator, "/v1/admin/audit-log?limit=1000")).json()["entries"]
        acts = [e for e in log if e["action"].startswith("relayer.") and e["action"] != "relayer.read"]
        assert [(e["actor"], e["action"]) for e in acts] == [
            ("relayer", "relayer.halt"), ("c-operations", "relayer.reanchor"), ("relayer", "relayer.reanchored"),
        ]  # fmt: skip
        assert {e["reason"] for e in acts[1:]} == {"the fork of Tuesday"}
        assert acts[2]["details"] == {"asked_by": "c-operations", "adopted": [], "sent_again": [1, 2], "moved": []}

    async def test_one_batch_after_the_other_and_only_what_was_final(self, api: Api) -> None:
        operator = await api.operator()
        chain = await self._lost(api, operator)
        assert (await self._ask(api, operator, batch=3)).json()["code"] == "not-found"
        assert (await self._ask(api, operator, batch=2)).status_code == 202
        assert (await self._ask(api, operator, batch=2)).status_code == 202
        other = await self._ask(api, operator, batch=1)
        assert (other.status_code, other.json()["detail"]) == (
            409, "Batch 2 is being anchored again; ask again once that is done.",
        )  # fmt: skip
        assert (await self._ask(api, operator)).status_code == 202
        other = await self._ask(api, operator, batch=1)
        assert other.json()["detail"] == "All batches are being anchored again; ask again once that is done."
        chain.base_fee, chain.fault = 10**12, None
        await eventually(lambda: self._states(api, operator, ["sent", "sent"]))
        assert (await self._ask(api, operator, batch=1)).json()["detail"].startswith("The batch is sent")
        chain.base_fee = 10**9
        await eventually(lambda: self._states(api, operator, ["final", "final"]))
