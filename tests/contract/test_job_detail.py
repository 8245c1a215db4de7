"""One job as an operator sees it whole: the owner's own view, its proof, and what became of its webhooks."""

from __future__ import annotations

from simulator.api.admin.base import BASE
from tests.contract.stage import SIEVE, SLOW, Stage
from tests.support.nats import eventually
from zjops.domain.merkle import keccak256


async def test_an_operator_sees_what_the_owner_sees_and_the_proof(stage: Stage) -> None:
    operator, owner = await stage.operator(), await stage.client("acme", "starter")
    job = await stage.job(owner, SIEVE)

    async def is_final() -> bool:
        return bool((await stage.ask("GET", f"{BASE}/jobs/{job}", operator)).json()["proof"])

    await eventually(is_final)
    seen = (await stage.ask("GET", f"{BASE}/jobs/{job}", operator)).json()
    assert (seen["tenant"], seen["plan"], seen["charge"], seen["deadLetter"]) == ("acme", "starter", "charged", False)
    assert seen["job"] == (await stage.ask("GET", f"/v1/jobs/{job}", owner)).json()
    assert seen["proof"] == (await stage.ask("GET", f"/v1/jobs/{job}/proof", owner)).json()
    result = (await stage.ask("GET", f"/v1/jobs/{job}/result", owner)).content
    assert seen["resultKeccak256"] == "0x" + keccak256(result).hex()


async def test_deliveries_of_the_job_alone_come_oldest_first(stage: Stage) -> None:
    operator, owner = await stage.operator(), await stage.client("acme", "starter")
    made = await stage.ask("POST", "/v1/webhooks/endpoints", owner, {"url": "https://hooks.example.com/in"})
    assert made.status_code == 201, made.text
    job, other = [await stage.job(owner, SIEVE) for _ in range(2)]

    async def are_told() -> bool:
        return len((await stage.ask("GET", f"{BASE}/jobs/{job}", operator)).json()["deliveries"]) == 2

    await eventually(are_told)
    told = (await stage.ask("GET", f"{BASE}/jobs/{job}", operator)).json()["deliveries"]
    assert [(one["type"], one["jobId"], one["endpointId"]) for one in told] == [
        ("job.completed", job, made.json()["endpointId"]), ("job.confirmed", job, made.json()["endpointId"])
    ]  # fmt: skip
    assert other != job


async def test_every_attempt_stands_where_one_job_is_asked_for(stage: Stage) -> None:
    operator, owner = await stage.operator(), await stage.client("acme", "starter")
    broken = {"algorithm": "synthetic", "failure": {"kind": "retry"}}
    job = await stage.job(owner, {"jobType": "ml_inference", "parameters": broken})

    async def is_tried_again() -> bool:
        return len((await stage.ask("GET", f"/v1/jobs/{job}", owner)).json()["attempts"]) > 1

    await eventually(is_tried_again)
    first = (await stage.ask("GET", f"/v1/jobs/{job}", owner)).json()["attempts"][0]
    assert (first["attempt"], first["outcome"], first["error"]["code"]) == (1, "retried", "synthetic")
    assert first["startedAt"] <= first["endedAt"] < first["nextAt"]
    whole = (await stage.ask("GET", f"{BASE}/jobs/{job}", operator)).json()
    assert whole["job"]["attempts"][0] == first
    assert "attempts" not in (await stage.ask("GET", "/v1/jobs", owner)).json()["jobs"][0]


async def test_a_job_that_has_not_ended_has_neither_proof_nor_digest(stage: Stage) -> None:
    operator = await stage.operator()
    job = await stage.job(await stage.client("acme", "starter"), SLOW)
    seen = (await stage.ask("GET", f"{BASE}/jobs/{job}", operator)).json()
    assert (seen["charge"], seen["proof"], seen["resultKeccak256"], seen["deliveries"]) == ("held", None, None, [])
    assert (await stage.ask("GET", f"{BASE}/jobs/job_x", operator)).status_code == 404
