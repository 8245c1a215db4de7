"""The job resource through the whole gateway, in process."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from tests.support.nats import eventually
from tests.unit.simulator.api.conftest import Api
from zjops.domain.merkle import Leaf, keccak256, result_digest, usage_digest, verify

SIEVE = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100}}


async def _confirmed(api: Api, token: str, job: str) -> dict[str, Any]:
    async def done() -> bool:
        return (await api.get(token, f"/v1/jobs/{job}/status")).json()["status"] == "confirmed"

    await eventually(done)
    view: dict[str, Any] = (await api.get(token, f"/v1/jobs/{job}")).json()
    return view


async def test_a_job_goes_from_202_to_confirmed_with_a_proof_that_holds(api: Api) -> None:
    token = await api.client("acme")
    reply = await api.submit(token, SIEVE)
    accepted = reply.json()
    assert reply.status_code == 202
    assert reply.headers["location"] == accepted["links"]["self"] == f"/v1/jobs/{accepted['jobId']}"
    assert accepted["status"] == "pending"
    view = await _confirmed(api, token, accepted["jobId"])
    assert view["result"] == {"count": 25, "largest": 97, "sum": 1060}
    assert view["blockchainConfirmation"]["txHash"].startswith("0x")
    proof = (await api.get(token, f"/v1/jobs/{accepted['jobId']}/proof")).json()
    served = (await api.get(token, f"/v1/jobs/{accepted['jobId']}/result")).content
    salt, use = bytes.fromhex(proof["salt"][2:]), proof["usage"]
    leaf = Leaf(
        proof["leaf"]["sequence"], bytes.fromhex(proof["leaf"]["jobKey"][2:]), result_digest(salt, served),
        usage_digest(
            salt, "acme", accepted["jobId"], use["payloadBytes"], use["computeUnits"], use["acceptedAtUnixMs"]
        ),
        1,
    )  # fmt: skip
    root = bytes.fromhex(proof["batch"]["root"][2:])
    path = [bytes.fromhex(node[2:]) for node in proof["proof"]]
    assert verify(root, leaf.hash(), path)
    assert await api.platform.ports.chain.root_of(proof["batch"]["firstSequence"]) == root
    assert not verify(root, keccak256(leaf.hash()), path)


async def test_a_repeat_is_answered_byte_for_byte_and_said_to_be_one(api: Api) -> None:
    token, key = await api.client("acme"), str(uuid.uuid4())
    first, again = await api.submit(token, SIEVE, key), await api.submit(token, SIEVE, f'"{key}"')
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    other = await api.submit(token, SIEVE | {"priority": 1}, key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_fifty_equal_requests_at_once_make_one_job(api: Api) -> None:
    token, key = await api.client("acme"), str(uuid.uuid4())
    replies = await asyncio.gather(*(api.submit(token, SIEVE, key) for _ in range(50)))
    assert {r.status_code for r in replies} <= {202, 409}
    assert len({r.json()["jobId"] for r in replies if r.status_code == 202}) == 1
    assert (await api.get(token, "/v1/jobs")).json()["pagination"]["total"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed-request"),
        (b'{"jobType":1,"jobType":2}', 400, "malformed-request"),
        (b"[" * 2000 + b"]" * 2000, 400, "malformed-request"),
        (b'{"a":NaN}', 400, "malformed-request"),
        (b'{"a":' + b"9" * 400 + b"}", 400, "malformed-request"),
        (b'{"a":"\\ud800"}', 400, "malformed-request"),
        (b"\xff", 400, "malformed-request"),
        (b"[]", 422, "validation-failed"),
        (b"{}", 422, "validation-failed"),
        (json.dumps(SIEVE | {"callbackUrl": "ftp://x"}).encode(), 422, "validation-failed"),
        (b'{"a":"' + b"x" * 1_000_001 + b'"}', 413, "payload-too-large"),
    ],
    ids=[
        "cut off", "duplicate key", "deep", "NaN", "huge integer", "lone surrogate", "not UTF-8", "array", "empty",
        "foreign scheme", "over the plan's size",
    ],
)  # fmt: skip
async def test_bad_bodies_get_their_problem(api: Api, body: bytes, status: int, code: str) -> None:
    reply = await api.submit(await api.client("acme"), body)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    problem = reply.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["trace_id"] == reply.headers["traceparent"].split("-")[1]


async def test_an_integral_float_is_an_integer(api: Api) -> None:
    body = json.dumps(SIEVE).replace("100", "100.0").encode().replace(b"}}", b'},"priority":5.0}')
    assert (await api.submit(await api.client("acme"), body)).status_code == 202


async def test_keys_and_media_types_are_demanded(api: Api) -> None:
    token = await api.client("acme")
    assert (await api.submit(token, SIEVE, "nonsense")).json()["code"] == "idempotency-key-malformed"
    assert (await api.submit(token, SIEVE, **{"Content-Type": "text/plain"})).status_code == 415
    bare = await api.http.post("/v1/jobs", json=SIEVE, headers={"Authorization": f"Bearer {token}"})
    assert bare.json()["code"] == "idempotency-key-missing"


async def test_another_tenants_job_is_not_told_apart_from_none(api: Api) -> None:
    mine, theirs = await api.client("acme"), await api.client("other")
    job = (await api.submit(mine, SIEVE)).json()["jobId"]
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/proof", "/v1/jobs/job_unknown", "/v1/jobs/%00"):
        reply = await api.get(theirs, path)
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found")


async def test_tokens_and_scopes_are_checked(api: Api) -> None:
    none = await api.http.get("/v1/jobs")
    assert none.status_code == 401
    assert none.headers["www-authenticate"].startswith('Bearer realm="zama"')
    assert "error=" not in none.headers["www-authenticate"]
    forged = await api.get("eyJhbGciOiJub25lIn0.e30.", "/v1/jobs")
    assert 'error="invalid_token"' in forged.headers["www-authenticate"]
    reader = await api.client("reader", scopes=("jobs:read",))
    refused = await api.submit(reader, SIEVE)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient-scope")
    assert 'scope="jobs:submit"' in refused.headers["www-authenticate"]
    assert (await api.get(reader, "/v1/admin/tenants")).status_code == 403


async def test_wrong_client_secrets_get_invalid_client(api: Api) -> None:
    reply = await api.http.post(
        "/realms/zama/protocol/openid-connect/token",
        data={"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "x"},
    )
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")
    assert reply.headers["cache-control"] == "no-store"


async def test_the_rate_limit_answers_429_with_when_to_come_again(api: Api) -> None:
    token = await api.client("slow", "free", requests_per_second=1, burst_seconds=2)
    replies = [await api.get(token, "/v1/jobs") for _ in range(4)]
    refused = [r for r in replies if r.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == "rate-limit-exceeded"
    assert int(refused[0].headers["retry-after"]) >= 1
    assert refused[0].headers["x-ratelimit-remaining"] == "0"
    assert refused[0].headers["ratelimit-policy"].startswith('"rps";q=1;w=1, "cu"')


async def test_the_quota_answers_402_and_reads_still_work(api: Api) -> None:
    token = await api.client("small", "free", compute_units=100)
    first = await api.submit(token, SIEVE)
    assert first.headers["x-computeunits-used"] == "100"
    refused = await api.submit(token, SIEVE)
    assert (refused.status_code, refused.json()["quota_details"]["limit"]) == (402, 100)
    assert (await api.get(token, "/v1/jobs")).status_code == 200


async def test_the_list_filters_sorts_and_pages(api: Api) -> None:
    token = await api.client("acme")
    for _ in range(5):
        await api.submit(token, SIEVE)
    page = (
        await api.get(token, "/v1/jobs?limit=2&offset=2&jobType=compute_heavy&sortBy=updated_at&sortOrder=asc")
    ).json()
    assert page["pagination"] == {"total": 5, "limit": 2, "offset": 2, "hasMore": True}
    assert page["links"]["next"].split("&cursor=")[0].endswith("limit=2&offset=4")
    assert (await api.get(token, "/v1/jobs?jobType=ml_inference")).json()["jobs"] == []
    for wrong in ("limit=101", "status=lost", "fromDate=yesterday", "fromDate=2026-01-01T00:00:00", "sortBy=price"):
        reply = await api.get(token, f"/v1/jobs?{wrong}")
        assert (reply.status_code, reply.json()["code"]) == (400, "invalid-parameter")
    reply = await api.get(token, "/v1/jobs?jobType=lost")
    assert reply.json()["detail"].endswith("there are compute_heavy, data_processing, ml_inference")


async def test_a_job_that_has_ended_cannot_be_cancelled(api: Api) -> None:
    token = await api.client("acme")
    job = (await api.submit(token, SIEVE)).json()["jobId"]
    await _confirmed(api, token, job)
    reply = await api.http.post(f"/v1/jobs/{job}/cancel", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["code"]) == (409, "job-not-cancellable")


async def test_unknown_paths_and_methods_get_problems(api: Api) -> None:
    token = await api.client("acme")
    assert (await api.get(token, "/v2/jobs")).json()["code"] == "not-found"
    reply = await api.http.delete("/v1/jobs", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["code"]) == (405, "method-not-allowed")


async def test_a_trace_is_continued(api: Api) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    reply = await api.submit(await api.client("acme"), SIEVE, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    assert reply.headers["traceparent"].split("-")[1] == trace
