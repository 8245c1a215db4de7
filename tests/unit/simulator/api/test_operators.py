"""The operators' door and what answers without a token."""

import json

from tests.support.nats import eventually
from tests.unit.simulator.api.conftest import Api
from tests.unit.simulator.api.test_jobs import SIEVE


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
