"""`Prefer: respond-async, wait=N` (RFC 7240), and browsers of other origins."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.requests import Request

from simulator.api.waiting import applied, preferred_wait
from tests.contract.stage import SIEVE, SLOW, Stage, new_key, staged
from tests.support.nats import eventually

ORIGIN = "https://app.example"


@pytest.mark.parametrize(
    ("given", "wait", "told"),
    [
        (["wait=10"], 10, "wait=10"),
        (["respond-async, wait=10"], 10, "respond-async, wait=10"),
        (["respond-async", "WAIT = 5"], 5, "respond-async, wait=5"),
        (["wait=7, wait=9"], 7, "wait=7"),
        (["wait=999999"], 30, "wait=30"),
        (['wait="4"; x=1'], 4, "wait=4"),
        (["wait=-1"], None, None),
        (["wait=soon, handling=lenient"], None, None),
        ([], None, None),
    ],
    ids=["plain", "both", "two headers", "the first counts", "capped", "quoted with a parameter", "negative",
         "not a number", "none"],
)  # fmt: skip
def test_preferences_are_read_as_rfc_7240_says(given: list[str], wait: int | None, told: str | None) -> None:
    request = Request({"type": "http", "headers": [(b"prefer", value.encode()) for value in given]})
    found = preferred_wait(request, 30)
    assert found == wait
    assert applied(request, found).get("Preference-Applied") == told


async def test_a_job_that_ends_in_time_is_answered_whole_and_a_repeat_too(stage: Stage) -> None:
    token, key = await stage.client("acme"), new_key()
    for replayed in (None, "true"):
        reply = await stage.submit(token, SIEVE, key, Prefer="respond-async, wait=20")
        assert (reply.status_code, reply.json()["result"]["count"]) == (200, 25)
        assert reply.headers["preference-applied"] == "respond-async, wait=20"
        assert reply.headers["location"] == f"/v1/jobs/{reply.json()['jobId']}"
        assert reply.headers.get("idempotent-replayed") == replayed
        assert "retry-after" not in reply.headers
    assert (await stage.submit(token, SIEVE, key)).status_code == 202
    assert (await stage.ask("GET", "/v1/jobs", token)).json()["pagination"]["total"] == 1


async def test_a_job_that_takes_longer_is_answered_202_when_the_time_is_up(tmp_path: Path) -> None:
    async with staged(tmp_path, prefer_wait_most_s=1) as stage:
        token = await stage.client("acme")
        before = stage.deps.clock.monotonic()
        reply = await stage.submit(token, SLOW, Prefer="wait=3600")
        assert reply.status_code == 202
        assert 0.9 < stage.deps.clock.monotonic() - before < 10
        assert (reply.headers["preference-applied"], reply.headers["retry-after"]) == ("wait=1", "5")
        assert stage.deps.hub.jobs == 0


async def test_a_status_that_is_waited_for_comes_with_the_end_of_the_job(stage: Stage) -> None:
    token = await stage.client("acme")
    job = await stage.job(token, SLOW)
    waiting = asyncio.create_task(stage.ask("GET", f"/v1/jobs/{job}/status", token, Prefer="wait=20"))

    async def followed() -> bool:
        return bool(stage.deps.hub.jobs)

    await eventually(followed)
    assert (await stage.ask("POST", f"/v1/jobs/{job}/cancel", token)).status_code == 202
    reply = await waiting
    assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
    assert "retry-after" not in reply.headers
    other = await stage.client("rival")
    assert (await stage.ask("GET", f"/v1/jobs/{job}/status", other, Prefer="wait=20")).status_code == 404


async def test_origins_that_a_setting_names_are_let_in_with_every_header_to_read(tmp_path: Path) -> None:
    async with staged(tmp_path, cors_origins=f"{ORIGIN}, https://other.example") as stage:
        token = await stage.client("acme")
        asked = {"Access_Control_Request_Method": "POST"}
        wanted = "authorization,content-type,idempotency-key,prefer,traceparent"
        flight = await stage.ask("OPTIONS", "/v1/jobs", Origin=ORIGIN, Access_Control_Request_Headers=wanted, **asked)
        assert (flight.status_code, flight.headers["access-control-allow-origin"]) == (200, ORIGIN)
        allowed = flight.headers["access-control-allow-headers"].lower().split(", ")
        assert set(wanted.split(",")) <= set(allowed)
        assert "POST" in flight.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in flight.headers
        reply = await stage.submit(token, SIEVE, Origin=ORIGIN)
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (202, ORIGIN)
        assert reply.headers["access-control-expose-headers"] == "*"
        assert {"Origin", "Accept-Version"} <= {part.strip() for part in reply.headers["vary"].split(",")}
        refused = await stage.ask("GET", "/v1/jobs", Origin=ORIGIN)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)


async def test_other_origins_are_not_let_in_and_none_is_by_default(tmp_path: Path) -> None:
    asked = {"Access_Control_Request_Method": "POST", "Origin": "https://evil.example"}
    for settings in ({}, {"cors_origins": ORIGIN}):
        async with staged(tmp_path, **settings) as stage:
            token = await stage.client("acme")
            flight = await stage.ask("OPTIONS", "/v1/jobs", **asked)
            assert flight.status_code >= 400
            reply = await stage.ask("GET", "/v1/jobs", token, Origin="https://evil.example")
            assert reply.status_code == 200
            for answer in (flight, reply):
                assert "access-control-allow-origin" not in answer.headers
