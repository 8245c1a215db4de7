"""Attacks on the interface that once got through, each with the answer it gets now."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from simulator.gateway.context import RequestContext
from simulator.gateway.versions import Versions
from tests.contract.stage import TOKEN, Stage

ASSERTION = {
    "grant_type": "client_credentials",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
}


@pytest.mark.parametrize("end", ["%0A", "%0a", "%0D", "%00", "%85"])
async def test_a_control_letter_after_a_path_opens_no_operators_door(stage: Stage, end: str) -> None:
    token = await stage.client("acme")
    for method, path in (
        ("GET", "/v1/admin/tenants"), ("GET", "/v1/admin/tenants/acme/clients"), ("GET", "/v1/admin/audit-log"),
        ("POST", "/v1/admin/signing-keys/rotate"), ("GET", "/v1/admin/plans"), ("GET", "/v1/jobs"),
    ):  # fmt: skip
        reply = await stage.ask(method, path + end, token)
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found"), path


async def test_paths_that_are_asked_for_are_not_remembered(stage: Stage) -> None:
    gateway: Any = stage.interface.app._app
    rule = gateway._guards.rules
    assert not hasattr(rule, "cache_info"), "a cache of paths grows by every job that is ever read"
    assert rule("GET", "/v1/jobs/a") is rule("GET", "/v1/jobs/b")


@pytest.mark.parametrize("path", ["/v\u00b2/jobs", "/v\u0663/jobs", "/v1111/jobs", "/v/jobs"])
def test_a_version_in_letters_that_only_look_like_digits_is_none(path: str) -> None:
    context = RequestContext("00-" + "0" * 32 + "-" + "0" * 16 + "-00")
    Versions().check(path, None, context)
    assert context.headers == {}


async def test_a_last_event_id_in_superscript_starts_from_the_beginning(stage: Stage) -> None:
    token = await stage.client("acme")
    job = await stage.job(token)
    await stage.ask("POST", f"/v1/jobs/{job}/cancel", token)
    reply = await stage.http.get(
        f"/v1/jobs/{job}/stream", headers={"Authorization": f"Bearer {token}", "Last-Event-ID": b"\xb2"}
    )
    assert reply.status_code == 200


def _claims(text: bytes) -> str:
    return "x." + base64.urlsafe_b64encode(text).decode().rstrip("=") + ".y"


@pytest.mark.parametrize(
    "claims", [b'{"sub":' + b"[" * 10_000, b'{"sub":"\\ud800"}', b'{"sub":{}}', b"[]", b'{"sub":' + b"9" * 5000 + b"}"],
    ids=["nested without end", "half a letter", "an object", "a list", "a number too long"],
)  # fmt: skip
async def test_an_assertion_that_nobody_can_read_is_an_unknown_client(stage: Stage, claims: bytes) -> None:
    reply = await stage.http.post(TOKEN, data=ASSERTION | {"client_assertion": _claims(claims)})
    assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


async def test_a_stranger_cannot_have_a_long_form_kept_in_memory(stage: Stage) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 2_000_000:
            sent += 10_000
            yield b"a" * 10_000

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = await stage.http.post(TOKEN, content=endless(), headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (413, "payload-too-large")
    assert sent < 200_000


async def test_a_relay_that_is_woken_as_it_is_stopped_stops(stage: Stage) -> None:
    relay: Any = stage.deps.wake.__self__  # type: ignore[attr-defined]
    await asyncio.sleep(0.1)
    relay.wake()
    done, _ = await asyncio.wait({asyncio.create_task(relay.stop())}, timeout=5)
    assert done
