"""Every (operation, status, problem) that the document promises is reached by a real request, and counted.

What all operations share is tried on each of them in turn; what is an operation's own has a scene of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey

from simulator.api.contract.document import problem_pairs
from simulator.api.contract.operation import Operation
from simulator.gateway.headers import IDENTIFIED
from simulator.gateway.protocol import LimitedProtocol
from simulator.policy.admission import Pressure
from simulator.policy.breaker import State
from tests.contract.stage import REVOKE, SIEVE, SLOW, TOKEN, Stage, basic, new_key, staged
from zjops.domain.clock import utc_month
from zjops.domain.errors import StoreUnavailable

Pair = tuple[str, int, str]
ALWAYS_IDENTIFIED = frozenset({200, 201, 202, 204, 304, 402, 404, 409, 415, 422})
"""What only an identified tenant can be answered, and then with its limits (C89)."""
NOBODY = "job_1111111111111111AAAAAA"


class Book:
    """Which pairs were reached, and that every answer is one that was promised."""

    def __init__(self, operations: list[Operation]) -> None:
        self.promised = problem_pairs(operations)
        self.scoped = {one.id for one in operations if one.scope is not None}
        self.reached: set[Pair] = set()

    def note(self, operation: str, reply: httpx2.Response) -> httpx2.Response:
        code = ""
        if reply.headers.get("content-type", "").startswith("application/problem+json"):
            document = reply.json()
            code = document["code"]
            assert document["status"] == reply.status_code
            assert document["type"].endswith("/errors/" + code)
            assert len(document["trace_id"]) == 32
            if reply.status_code in (429, 503):
                assert int(reply.headers["retry-after"]) >= 1, (operation, code)
        if operation in self.scoped and reply.status_code in ALWAYS_IDENTIFIED:
            missing = [name for name in IDENTIFIED if name not in reply.headers]
            assert not missing, f"{operation} {reply.status_code} says nothing of {missing}"
        pair = (operation, reply.status_code, code)
        assert pair in self.promised, f"{pair} is not in the document: {reply.text[:300]}"
        self.reached.add(pair)
        return reply


def example_path(one: Operation) -> str:
    path = one.path
    for name in one.parameters:
        path = path.replace("{" + name + "}", NOBODY if name == "jobId" else "acme" if name == "tenantId" else "x1")
    return path


class Play:
    """Requests against a stage, noted in the book."""

    def __init__(self, stage: Stage, book: Book) -> None:
        self.stage, self.book = stage, book
        self.operations = {one.id: one for one in stage.app.operations}

    async def go(self, id: str, token: str = "", body: Any = None, path: str | None = None, **headers: str) -> Any:
        one = self.operations[id]
        return self.book.note(id, await self.stage.ask(one.method, path or example_path(one), token, body, **headers))


async def _shared(play: Play) -> None:
    """What every operation can meet, on every one of them."""
    stage = play.stage
    every = tuple({one.scope for one in play.operations.values() if one.scope})
    good = await stage.client("acme", "enterprise", every)
    weak = await stage.client("weak", "enterprise", ("none:at-all",))
    poor = await stage.client("poor", "enterprise", every, requests_per_second=1, burst_seconds=1)
    gone = await stage.client("gone", "enterprise", every)
    await stage.sql("UPDATE tenants SET status = 'suspended' WHERE tenant = 'gone'")
    await stage.client("small", "enterprise", every, body_bytes=10)
    small = await stage.token("c-small")
    stage.deps.directory.forget("gone")
    for one in play.operations.values():
        await play.go(one.id, good, Content_Length="+1")
        await play.go(one.id, small if one.scope else "", Content_Length="100000001")
        if one.scope is None:
            continue
        stage.deps.addresses._buckets.clear()
        await play.go(one.id)
        stage.deps.watch.bans["198.51.100.7"] = 2**50
        await play.go(one.id)
        stage.deps.watch.bans.clear()
        await play.go(one.id, weak)
        await play.go(one.id, gone)
        await play.go(one.id, good, Accept_Version="9")
        desk = stage.deps.tenants.desk("poor")
        if desk.bucket is None:
            await stage.ask("GET", "/v1/jobs", poor)
        else:
            desk.bucket = desk.bucket._replace(tokens=0.0)
        await play.go(one.id, poor)
        await _broken(play, one, good)


async def _broken(play: Play, one: Operation, token: str, body: Any = None, **headers: str) -> None:
    """A store that is away, and one that is broken; a breaker that is open, and a platform that is full."""
    stage = play.stage
    for fault in (StoreUnavailable("gone"), RuntimeError("broken")):
        stage.deps.directory.forget("acme")
        stage.store.fault = fault
        await play.go(one.id, token, body, **headers)
        stage.store.fault = None
        stage.deps.tenants._desks.clear()
    if one.tag == "admin" or one.scope is None:
        return
    breaker = stage.deps.tenants.desk("acme").breaker
    breaker.state, breaker.opened_at = State.OPEN, stage.deps.clock.monotonic()
    stage.ready["store"] = False
    await play.go(one.id, token)
    stage.ready["store"] = True
    stage.deps.tenants._desks.clear()
    stage.deps.watch.pressure = Pressure(0, 99.0)
    await play.go(one.id, token)
    stage.deps.watch.pressure = Pressure()


async def _platform(play: Play) -> None:
    stage = play.stage
    for id in ("livez", "readyz", "healthz", "metrics", "openapi", "docs", "resourceMetadata", "jwks",
               "serverMetadata", "keycloakMetadata"):  # fmt: skip
        assert (await play.go(id)).status_code == 200
    stage.ready["store"] = False
    await play.go("readyz")
    await play.go("healthz", path="/healthz?deep=1")
    stage.ready["store"] = True


async def _identity(play: Play) -> None:
    stage, form = play.stage, "application/x-www-form-urlencoded"
    token = await stage.client("tess")

    async def post(id: str, text: str, headers: dict[str, str]) -> None:
        path = TOKEN if id == "issueToken" else REVOKE
        sent = {"Content-Type": form} | headers
        play.book.note(id, await stage.http.post(path, content=text.encode(), headers=sent))

    for id, text in (("issueToken", "grant_type=client_credentials"), ("revokeToken", f"token={token}")):
        await post(id, text, basic("c-tess"))
        await post(id, text, basic("c-tess", "wrong"))
        await post(id, text, basic("c-tess") | {"Content-Type": "text/plain"})
        stage.deps.watch.bans["198.51.100.7"] = 2**50
        await post(id, text, basic("c-tess"))
        stage.deps.watch.bans.clear()
        for fault in (StoreUnavailable("gone"), RuntimeError("broken")):
            stage.store.fault = fault
            await post(id, text, basic("c-tess"))
            stage.store.fault = None
        bucket = stage.deps.addresses._buckets["198.51.100.7"]
        stage.deps.addresses._buckets["198.51.100.7"] = bucket._replace(tokens=0.0)
        await post(id, text, basic("c-tess", "wrong"))
        stage.deps.addresses._buckets.clear()


async def _submissions(play: Play) -> None:
    stage, key = play.stage, new_key()
    token = await stage.client("sue", "enterprise")
    for id, good in (("submitJob", SIEVE), ("submitJobs", {"jobs": [SIEVE, {"jobType": "lost"}]})):
        reply = await play.go(id, token, good, Idempotency_Key=key)
        assert reply.status_code in (200, 202)
        await play.go(id, token, good)
        await play.go(id, token, good, Idempotency_Key="no")
        await play.go(id, token, good, Idempotency_Key=key, Content_Type="text/plain")
        await play.go(id, token, {"jobs": []}, Idempotency_Key=new_key())
    await play.go("submitJob", token, SIEVE | {"priority": 1}, Idempotency_Key=key)
    whole = await play.go("submitJob", token, SIEVE, Idempotency_Key=new_key(), Prefer="wait=20")
    assert whole.status_code == 200, whole.text
    held = new_key()
    both = await asyncio.gather(*(play.go("submitJob", token, SIEVE, Idempotency_Key=held) for _ in range(2)))
    assert sorted(r.status_code for r in both) == [202, 409]
    for name, over in (("broke", {"compute_units": 50, "buffer_percent": 0}),
                       ("capped", {"compute_units": 50, "buffer_percent": 0, "overage_enabled": True}),
                       ("busy", {"active_jobs": 0})):  # fmt: skip
        limited = await stage.client(name, "starter", **over)
        await play.go("submitJob", limited, SIEVE, Idempotency_Key=new_key())


async def _reading(play: Play) -> None:
    stage = play.stage
    token = await stage.client("rita", "enterprise", ("jobs:submit", "jobs:read", "jobs:cancel", "jobs:outputs"))
    job, slow = await stage.job(token), await stage.job(token, SLOW)
    await play.go("listJobs", token)
    await play.go("listJobs", token, path="/v1/jobs?limit=0")
    await _until(stage, token, job, "confirmed")
    for id, tail in (("getJob", ""), ("getJobStatus", "/status"), ("getJobResult", "/result"),
                     ("getJobProof", "/proof")):  # fmt: skip
        reply = await play.go(id, token, path=f"/v1/jobs/{job}{tail}")
        if "etag" in reply.headers:
            await play.go(id, token, path=f"/v1/jobs/{job}{tail}", If_None_Match=reply.headers["etag"])
        await play.go(id, token)
        if id in ("getJobResult", "getJobProof"):
            await play.go(id, token, path=f"/v1/jobs/{slow}{tail}")
    await play.go("streamJob", token)
    await play.go("streamJob", token, path=f"/v1/jobs/{job}/stream")
    await play.go("subscribeJobs", token)
    await play.go("subscribeJobs", token, path="/v1/jobs/subscribe?nonsense=1")
    await play.go("createTicket", token)
    await play.go("cancelJob", token)
    await play.go("cancelJob", token, path=f"/v1/jobs/{slow}/cancel")
    await play.go("cancelJob", token, path=f"/v1/jobs/{job}/cancel")
    await _until(stage, token, slow, "cancelled")
    for id, tail in (("getJobResult", "/result"), ("getJobProof", "/proof")):
        reply = await play.go(id, token, path=f"/v1/jobs/{slow}{tail}")
        assert reply.json()["code"] == "conflict"


async def _until(stage: Stage, token: str, job: str, status: str) -> None:
    for _ in range(500):
        if (await stage.ask("GET", f"/v1/jobs/{job}/status", token)).json()["status"] == status:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{job} is not {status}")


async def _billing(play: Play) -> None:
    token = await play.stage.client("bill", "enterprise")
    assert (await play.go("getUsage", token)).status_code == 200
    await play.go("getUsage", token, path="/v1/billing/usage?month=2026-13")
    assert (await play.go("listInvoices", token)).status_code == 200
    await play.go("listInvoices", token, path="/v1/billing/invoices?month=2026-13")


async def _webhooks(play: Play) -> None:
    stage = play.stage
    token = await stage.client("hugo", "enterprise")
    made = await play.go("createEndpoint", token, {"url": "http://127.0.0.1:9/hook"})
    await play.go("createEndpoint", token, {"url": "http://10.0.0.1/x"})
    await play.go("createEndpoint", token, {"url": "ftp://x"})
    await play.go("createEndpoint", token, {}, Content_Type="text/plain")
    for _ in range(19):
        await stage.ask("POST", "/v1/webhooks/endpoints", token, {"url": "http://127.0.0.1:9/more"})
    await play.go("createEndpoint", token, {"url": "http://127.0.0.1:9/hook"})
    assert made.status_code == 201, made.text
    here = f"/v1/webhooks/endpoints/{made.json()['endpointId']}"
    for id, tail in (("getEndpoint", ""), ("getEndpointSecret", "/secret"), ("rotateEndpointSecret", "/secret/rotate")):
        await play.go(id, token, path=here + tail)
        await play.go(id, token)
    await play.go("changeEndpoint", token, {"description": "d"}, path=here)
    await play.go("changeEndpoint", token, {"description": "d"})
    await play.go("changeEndpoint", token, {"description": 5}, path=here)
    await play.go("changeEndpoint", token, {"url": "http://127.0.0.1:0/x"}, path=here, Content_Type="text/plain")
    await play.go("changeEndpoint", token, {"url": "http://10.0.0.1/x"}, path=here)
    for id in ("listEndpoints", "getCallbackSecret", "rotateCallbackSecret", "listDeliveries"):
        await play.go(id, token)
    await stage.job(token, SIEVE)
    for _ in range(500):
        log = (await stage.ask("GET", "/v1/webhooks/deliveries", token)).json()["deliveries"]
        if log:
            break
        await asyncio.sleep(0.02)
    await play.go("redeliver", token, path=f"/v1/webhooks/deliveries/{log[0]['deliveryId']}/redeliver")
    await play.go("redeliver", token)
    await play.go("listDeliveries", token, path="/v1/webhooks/deliveries?limit=x")
    await play.go("deleteEndpoint", token, path=here)
    await play.go("deleteEndpoint", token)


async def _operators(play: Play) -> None:
    stage = play.stage
    token = await stage.operator()
    for id in ("listTenants", "listPlans", "getPlatform", "listAllJobs", "listDeadLetters", "exportPlatform",
               "readAuditLog", "getAbuse", "rotateSigningKey", "listBatches", "getRelayer"):  # fmt: skip
        assert (await play.go(id, token)).status_code in (200, 201), id
    for id in ("listAllJobs", "listDeadLetters", "readAuditLog", "listBatches"):
        await play.go(id, token, path=play.operations[id].path + "?limit=0")
    new = {"tenantId": "newco", "plan": "pro"}
    bodies: dict[str, tuple[Any, str]] = {
        "createTenant": (new, ""), "changeTenant": ({"plan": "starter"}, "/v1/admin/tenants/newco"),
        "createClient": ({"role": "viewer"}, "/v1/admin/tenants/newco/clients"),
        "pauseRelayer": ({"paused": False}, ""),
        "replayEvents": ({"reason": "test", "fromSequence": 1}, ""),
        "banAddress": ({"address": "203.0.113.9", "seconds": 60, "reason": "test"}, ""),
        "setPaymentMethod": ({"paymentMethod": "pm_1"}, "/v1/admin/tenants/newco/payment-method"),
        "pardonTenant": ({}, "/v1/admin/tenants/newco/pardon"),
    }  # fmt: skip
    for id, (body, path) in bodies.items():
        reply = await play.go(id, token, body, path=path or None)
        assert reply.status_code in (200, 201), reply.text
        await play.go(id, token, body, path=path or None, Content_Type="text/plain")
        await play.go(id, token, {"nonsense": 1}, path=path or None)
        if "newco" in path:
            await play.go(id, token, body, path=path.replace("newco", "nobody"))
    await play.go("createTenant", token, new)
    for id in ("getTenant", "listClients"):
        tail = "/clients" if id == "listClients" else ""
        await play.go(id, token, path="/v1/admin/tenants/newco" + tail)
        await play.go(id, token, path="/v1/admin/tenants/nobody" + tail)
    client = (await stage.ask("POST", "/v1/admin/tenants/newco/clients", token, {"role": "developer"})).json()
    here = f"/v1/admin/tenants/newco/clients/{client['clientId']}"
    for id, tail in (("rotateClientSecret", "/rotate"), ("deleteClient", "")):
        await play.go(id, token, path=here + tail)
        await play.go(id, token)
    await play.go("liftBan", token, path="/v1/admin/abuse/bans/203.0.113.9")
    await play.go("liftBan", token)
    await _credits(play, token)
    await _acts(play, token)
    await _batches(play, token)
    await _dead_letters(play, token)


async def _credits(play: Play, token: str) -> None:
    stage, key = play.stage, new_key()
    here, nowhere = (f"/v1/admin/tenants/{name}/credits" for name in ("newco", "nobody"))
    month = utc_month(stage.deps.clock.now_ms())
    credit = {"amountMicrousd": 5_000_000, "month": month, "reason": "outage"}
    made = await play.go("grantCredit", token, credit, path=here, Idempotency_Key=key)
    again = await play.go("grantCredit", token, credit, path=here, Idempotency_Key=key)
    assert (made.status_code, made.json(), again.headers["idempotent-replayed"]) == (201, again.json(), "true")
    await play.go("grantCredit", token, credit | {"reason": "another"}, path=here, Idempotency_Key=key)
    await play.go("grantCredit", token, credit, path=here)
    await play.go("grantCredit", token, credit, path=here, Idempotency_Key="no")
    await play.go("grantCredit", token, credit, path=here, Idempotency_Key=new_key(), Content_Type="text/plain")
    await play.go("grantCredit", token, {"nonsense": 1}, path=here, Idempotency_Key=new_key())
    await play.go("grantCredit", token, credit, path=nowhere, Idempotency_Key=new_key())
    assert [c["creditId"] for c in (await play.go("listCredits", token, path=here)).json()["credits"]] == [key]
    await play.go("listCredits", token, path=here + "?limit=0")
    await play.go("listCredits", token, path=nowhere)


async def _batches(play: Play, token: str) -> None:
    stage = play.stage
    await stage.job(await stage.client("bert", "starter"))
    for _ in range(500):
        if (await stage.ask("GET", "/v1/admin/batches", token)).json()["batches"]:
            break
        await asyncio.sleep(0.02)
    await play.go("getBatch", token, path="/v1/admin/batches/1")
    await play.go("getBatch", token)
    job = (await stage.ask("GET", "/v1/admin/jobs?limit=1", token)).json()["jobs"][0]["job"]["jobId"]
    assert (await play.go("getAnyJob", token, path=f"/v1/admin/jobs/{job}")).status_code == 200
    await play.go("getAnyJob", token)
    await _reanchoring(play, token)


async def _reanchoring(play: Play, token: str) -> None:
    """What is final may be anchored again, one batch after the other; the relayer finds nothing gone and goes on."""
    stage = play.stage
    await stage.sql("UPDATE settings SET value = '1' WHERE name = 'relayer_paused'")
    await stage.sql("UPDATE batches SET state = 'closed' WHERE id = 1")
    await play.go("reanchorBatches", token, {"batch": 1})
    await play.go("reanchorBatches", token, {"batch": 10**9})
    await play.go("reanchorBatches", token, {"batch": 0})
    await play.go("reanchorBatches", token, {}, Content_Type="text/plain")
    assert (await play.go("reanchorBatches", token, {"reason": "test"})).status_code == 202


async def _dead_letters(play: Play, token: str) -> None:
    stage = play.stage
    owner = await stage.client("dora", "starter")
    job = await stage.job(owner, SLOW)
    here = f"/v1/admin/dead-letters/{job}/retry"
    await play.go("retryDeadLetter", token, {})
    await play.go("retryDeadLetter", token, {}, path=here)
    await stage.sql("UPDATE jobs SET dead_letter = 1 WHERE tenant = 'dora'")
    await play.go("retryDeadLetter", token, {"x": 1}, path=here)
    await play.go("retryDeadLetter", token, {}, path=here, Content_Type="text/plain")
    await stage.sql("UPDATE tenants SET overrides = '{\"compute_units\":1,\"buffer_percent\":0}' WHERE tenant = 'dora'")
    await play.go("retryDeadLetter", token, {}, path=here)
    await stage.sql("UPDATE tenants SET overrides = '{}' WHERE tenant = 'dora'")
    first = await play.go("retryDeadLetter", token, {}, path=here)
    again = await play.go("retryDeadLetter", token, {}, path=here)
    assert first.json()["jobId"] == again.json()["jobId"] != job


async def _acts(play: Play, token: str) -> None:
    """On jobs and deliveries of any tenant."""
    stage, why = play.stage, {"reason": "test"}
    owner = await stage.client("olga", "enterprise")
    made = await stage.ask("POST", "/v1/webhooks/endpoints", owner, {"url": "http://127.0.0.1:9/hook"})
    job, slow = await stage.job(owner), await stage.job(owner, SLOW)
    await _until(stage, owner, job, "confirmed")
    for name in (slow, job, NOBODY):
        await play.go("cancelAnyJob", token, why, path=f"/v1/admin/jobs/{name}/cancel")
    await _until(stage, owner, slow, "cancelled")
    found = await play.go("findDeliveries", token, {"jobIds": [job, slow]})
    told = [(one["jobId"], one["type"], one["tenant"]) for one in found.json()["deliveries"]]
    assert told == [(job, "job.completed", "olga"), (job, "job.confirmed", "olga"), (slow, "job.cancelled", "olga")]
    await play.go("findDeliveries", token, {"jobIds": ["no"]})
    here = f"/v1/admin/deliveries/{found.json()['deliveries'][0]['deliveryId']}/redeliver"
    assert (await play.go("redeliverAny", token, why, path=here)).status_code == 202
    await stage.ask("DELETE", f"/v1/webhooks/endpoints/{made.json()['endpointId']}", owner)
    assert (await play.go("redeliverAny", token, why, path=here)).status_code == 409
    await play.go("redeliverAny", token, why)
    for id in ("cancelAnyJob", "findDeliveries", "redeliverAny"):
        await play.go(id, token, {"reason": ""})
        await play.go(id, token, why, Content_Type="text/plain")


class _Hasty(LimitedProtocol):
    """Loses its patience sooner than a test does."""

    def _expect(self, seconds: float | None) -> None:
        super()._expect(None if seconds is None else 0.1)


async def _raw(port: int, head: str) -> httpx2.Response:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    data = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    top, _, body = data.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return httpx2.Response(int(lines[0].split()[1]), headers=headers, content=body)


async def _below_http(play: Play) -> None:
    """Heads that are too long and requests that do not come to an end, over a real connection to each operation."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            play.stage.app, interface="asgi3", http=_Hasty, ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
        task = asyncio.create_task(server.serve([listener]))
        port = listener.getsockname()[1]
        for one in play.operations.values():
            line = f"{one.method} {example_path(one)} HTTP/1.1\r\n"
            play.book.note(one.id, await _raw(port, f"{line}Host: x\r\nX-Long: {'a' * 40_000}\r\n\r\n"))
        slow = [
            _raw(port, f"{one.method} {example_path(one)} HTTP/1.1\r\nHost: x\r\nX-A: b")
            for one in play.operations.values()
        ]
        for one, reply in zip(play.operations.values(), await asyncio.gather(*slow), strict=True):
            play.book.note(one.id, reply)
        server.should_exit = True
        await task


async def _upgrade(play: Play) -> None:
    """101: the handshake of the WebSocket, in the words of ASGI."""
    token = await play.stage.client("walt", "enterprise")
    sent: list[dict[str, Any]] = []
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await incoming.put({"type": "websocket.connect"})
    await incoming.put({"type": "websocket.disconnect", "code": 1000})
    scope = {
        "type": "websocket", "path": "/v1/jobs/subscribe", "raw_path": b"/v1/jobs/subscribe", "query_string": b"",
        "headers": [(b"host", b"x"), (b"authorization", f"Bearer {token}".encode())], "subprotocols": [],
        "client": ("198.51.100.7", 1), "server": ("127.0.0.1", 1), "scheme": "ws", "http_version": "1.1",
        "extensions": {"websocket.http.response": {}},
    }  # fmt: skip

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await play.stage.app(scope, incoming.get, send)
    assert sent[0]["type"] == "websocket.accept"
    play.book.reached.add(("subscribeJobs", 101, ""))


async def _elsewhere(play: Play) -> None:
    """Tokens of an issuer elsewhere are verified by its keys; its keys are not ours to rotate."""
    key = ECKey.generate_key("P-256", {"kid": "there", "use": "sig", "alg": "ES256"}, private=True)
    asked: list[int] = []

    async def fetch() -> dict[str, Any]:
        asked.append(1)
        return {"keys": [key.as_dict(private=False)]}

    async with staged(Path("unused"), external_issuer="https://login.example", external_jwks="-") as stage:
        stage.deps.verifier._keys._fetch = fetch
        await stage.platform.add_tenant("acme", "pro")
        now = stage.deps.clock.now_ms() // 1000
        claims = {"iss": "https://login.example", "aud": "https://api.zama.ai", "sub": "x", "client_id": "x",
                  "tenant_id": "acme", "scope": "jobs:admin", "iat": now, "exp": now + 60, "jti": "1"}  # fmt: skip
        token = jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "there"}, claims, key)
        for _ in range(3):
            await Play(stage, play.book).go("rotateSigningKey", token)
        assert len(asked) == 1
        other = ECKey.generate_key("P-256", {"kid": "unknown"}, private=True)
        strange = jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "unknown"}, claims, other)
        assert (await stage.ask("GET", "/v1/jobs", strange)).status_code == 401
        assert (await stage.ask("POST", TOKEN, body=b"x")).status_code == 401


SCENES: tuple[Callable[[Play], Coroutine[Any, Any, None]], ...] = (
    _platform, _identity, _submissions, _reading, _billing, _webhooks, _operators, _upgrade, _elsewhere,
    _below_http, _shared,
)  # fmt: skip


async def test_every_promised_answer_is_reached(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    book: Book | None = None
    for scene in SCENES:
        async with staged(tmp_path / scene.__name__) as stage:
            book = book or Book(stage.app.operations)
            await scene(Play(stage, book))
    assert book is not None
    missing = sorted(book.promised - book.reached)
    record_property("contract", f"{len(book.promised) - len(missing)}/{len(book.promised)}")
    assert not missing, f"{len(missing)} answers are promised and were not reached: {missing[:40]}"


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/jobs/a/b/c"])
async def test_what_is_no_operation_is_not_found_and_says_so(stage: Stage, path: str) -> None:
    token = await stage.client("acme")
    reply = await stage.ask("GET", path, token)
    assert (reply.status_code, reply.json()["code"]) == (404, "not-found")
    wrong = await stage.ask("DELETE", "/v1/jobs", token)
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert set(wrong.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "POST"}
