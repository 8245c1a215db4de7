"""OWASP API Security Top 10, 2023: a section an item, each with attempts that must fail."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.contract.stage import SIEVE, SLOW, TOKEN, Stage, basic, new_key


async def test_1_broken_object_level_authorization(stage: Stage) -> None:
    mine, other = await stage.client("acme"), await stage.client("rival")
    job = await stage.job(other)
    made = await stage.ask("POST", "/v1/webhooks/endpoints", other, {"url": "http://127.0.0.1:9/x"})
    hook = f"/v1/webhooks/endpoints/{made.json()['endpointId']}"
    for method, path in (
        ("GET", f"/v1/jobs/{job}"), ("GET", f"/v1/jobs/{job}/status"), ("GET", f"/v1/jobs/{job}/result"),
        ("GET", f"/v1/jobs/{job}/proof"), ("GET", f"/v1/jobs/{job}/stream"), ("POST", f"/v1/jobs/{job}/cancel"),
        ("GET", hook), ("DELETE", hook), ("GET", hook + "/secret"), ("POST", hook + "/secret/rotate"),
    ):  # fmt: skip
        reply = await stage.ask(method, path, mine)
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found"), path
    assert (await stage.ask("GET", "/v1/jobs", mine)).json()["jobs"] == []
    unknown = await stage.ask("GET", "/v1/jobs/job_1111111111111111AAAAAA", mine)
    known = await stage.ask("GET", f"/v1/jobs/{job}", mine)
    assert unknown.json()["detail"] == known.json()["detail"]


async def test_2_broken_authentication(stage: Stage) -> None:
    token = await stage.client("acme")
    head, body, mark = token.split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0"
    for wrong in (f"{none}.{body}.", f"{head}.{body}.{mark[:-4]}AAAA", f"{head}.{body}", "x", token + "x", "\u00e9"):
        reply = await stage.http.get("/v1/jobs", headers={"Authorization": f"Bearer {wrong}".encode("latin-1")})
        assert reply.status_code == 401, wrong
        assert "token" not in reply.json()["detail"] or wrong not in reply.text
    assert (await stage.http.get(f"/v1/jobs?access_token={token}")).status_code == 401
    assert (await stage.http.get("/v1/jobs", headers={"Authorization": f"Basic {token}"})).status_code == 401
    replies = [await stage.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=basic("c-acme", f"{i}"))
               for i in range(25)]  # fmt: skip
    assert replies[-1].status_code == 403


async def test_3_broken_object_property_level_authorization(stage: Stage) -> None:
    token = await stage.client("acme")
    for field in ("status", "jobId", "computeUnits", "tenant", "plan", "charge"):
        reply = await stage.submit(token, SIEVE | {field: "confirmed"})
        assert reply.status_code == 422
        assert reply.json()["errors"][0]["pointer"] == f"#/{field}"
    view = (await stage.ask("GET", f"/v1/jobs/{await stage.job(token)}", token)).json()
    assert not {"salt", "tenant", "parameters", "traceparent", "callbackUrl"} & view.keys()
    tenants = (await stage.ask("GET", "/v1/admin/tenants/acme", await stage.operator())).text
    assert "secret" not in tenants.lower()


async def test_4_unrestricted_resource_consumption(stage: Stage) -> None:
    token = await stage.client("acme", "free")
    big = await stage.submit(token, b'{"a":"' + b"x" * 1_000_001 + b'"}')
    assert big.status_code == 413
    deep = await stage.submit(token, b"[" * 100_000 + b"]" * 100_000)
    assert deep.status_code == 400
    assert (await stage.ask("GET", "/v1/jobs?limit=100000", token)).status_code == 400
    many = await stage.ask("POST", "/v1/jobs:batch", token, {"jobs": [SIEVE] * 101}, Idempotency_Key=new_key())
    assert many.status_code == 422
    replies = await asyncio.gather(*(stage.ask("GET", "/v1/jobs", token) for _ in range(60)))
    assert 429 in {reply.status_code for reply in replies}


async def test_5_broken_function_level_authorization(stage: Stage) -> None:
    token = await stage.client("acme", "enterprise")
    for one in stage.app.operations:
        if one.tag == "admin":
            path = one.path.replace("{tenantId}", "acme").replace("{", "").replace("}", "")
            reply = await stage.ask(one.method, path, token, {} if one.method in ("POST", "PATCH", "PUT") else None)
            assert (reply.status_code, reply.json()["code"]) == (403, "insufficient-scope"), one.id
            assert 'scope="jobs:admin"' in reply.headers["www-authenticate"]
    viewer = await stage.client("viewer", "pro", ("jobs:read",))
    assert (await stage.submit(viewer)).status_code == 403


async def test_6_unrestricted_access_to_sensitive_flows(stage: Stage) -> None:
    token = await stage.client("acme", "starter", compute_units=250, buffer_percent=0)
    key = new_key()
    replies = await asyncio.gather(*(stage.submit(token, key=key) for _ in range(50)))
    assert len({r.json()["jobId"] for r in replies if r.status_code == 202}) == 1
    more = await asyncio.gather(*(stage.submit(token) for _ in range(10)))
    assert sorted(r.status_code for r in more) == [202] + [402] * 9
    assert (await stage.ask("GET", "/v1/jobs", token)).status_code == 200


async def test_7_server_side_request_forgery(stage: Stage) -> None:
    token = await stage.client("acme")
    for url in ("http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://192.168.0.1/",
                "file:///etc/passwd", "http://user:pw@127.0.0.1/", "gopher://127.0.0.1/",
                "http://0.0.0.0/"):  # fmt: skip
        assert (await stage.ask("POST", "/v1/webhooks/endpoints", token, {"url": url})).status_code == 422, url
    for url in ("file:///etc/passwd", "gopher://x/", "http://a b/"):
        assert (await stage.submit(token, SLOW | {"callbackUrl": url})).status_code == 422, url


async def test_8_security_misconfiguration(stage: Stage) -> None:
    token = await stage.client("acme")
    reply = await stage.ask("GET", "/v1/jobs", token, Origin="https://evil.example")
    assert "access-control-allow-origin" not in reply.headers
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    stage.store.fault = RuntimeError("secret detail /etc/passwd")
    stage.deps.directory.forget("acme")
    broken = await stage.ask("GET", "/v1/jobs", token)
    stage.store.fault = None
    assert broken.status_code == 500
    assert "secret" not in broken.text
    assert "Traceback" not in broken.text
    for method in ("TRACE", "OPTIONS", "PROPFIND"):
        assert (await stage.ask(method, "/v1/jobs", token)).status_code == 405


async def test_9_improper_inventory_management(stage: Stage) -> None:
    token = await stage.client("acme")
    document = json.loads(stage.app.document())
    served = {(one.method.lower(), one.path) for one in stage.app.operations}
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert served == described
    for path in ("/v0/jobs", "/v2/jobs", "/jobs", "/debug", "/admin", "/v1/internal", "/redoc"):
        assert (await stage.ask("GET", path, token)).status_code in (401, 404), path


@pytest.mark.parametrize(
    "name", ["job_\x00", "job_%00", "..%2f..%2fetc", "job_" + "1" * 500, "job_O0Il", "%ff%fe", "job_'; DROP TABLE jobs"]
)
async def test_10_unsafe_consumption(stage: Stage, name: str) -> None:
    token = await stage.client("acme")
    reply = await stage.http.get(
        "/v1/jobs/" + name.replace("\x00", "%00").replace(" ", "%20"), headers={"Authorization": f"Bearer {token}"}
    )
    assert reply.status_code == 404
    assert len(reply.content) < 2000


async def test_no_answer_says_what_the_server_is_made_of(stage: Stage) -> None:
    reply = await stage.ask("GET", "/livez")
    assert "server" not in reply.headers
    assert "x-powered-by" not in reply.headers


async def test_a_tenant_cannot_be_put_on_a_plan_that_is_none(stage: Stage) -> None:
    operator = await stage.operator()
    await stage.client("acme")
    for body in ({"plan": ""}, {"plan": "gold"}, {"overrides": {"requests_per_second": 0}}, {"overrides": {"x": 1}}):
        assert (await stage.ask("PATCH", "/v1/admin/tenants/acme", operator, body)).status_code == 422, body
    assert (await stage.ask("GET", "/v1/admin/tenants", operator)).status_code == 200
