"""A crowd at the whole interface over real sockets: who is refused at the door is told all that others are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from simulator.gateway import directory, watchlist
from simulator.identity.clients import SCOPES
from simulator.policy.backlog import PATIENCE_S, Behind
from simulator.policy.capacity import Capacity
from simulator.supervisor.ports import listen, port_of
from simulator.web import WebServer
from tests.contract.stage import SIEVE, Stage, new_key, staged
from tests.support.nats import eventually
from zjops.domain.logfiles import log_files, those_that_count
from zjops.domain.requests import REQUEST_LOG

OVER = {"requests_per_second": 100_000, "active_jobs": 100_000, "compute_units": 10**9}
ROOM = 4
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = json.dumps(SIEVE).encode()


class Crowd:
    """The interface behind its server, with so little room that another's submissions fill it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.port = 0
        self.passed: list[str] = []
        self.tokens: dict[str, str] = {}
        guard = stage.deps.tenants
        self.single, self.bulk = Capacity(0.25, ROOM), Capacity(0.25, ROOM)
        guard._single, guard._bulk = self.single, self.bulk

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.passed.append(scope["path"])
        await self.stage.app(scope, receive, send)

    async def known(self, tenant: str, scopes: tuple[str, ...] = SCOPES, **over: Any) -> str:
        """A token of a tenant of whom the door knows."""
        token = await self.stage.client(tenant, "enterprise", scopes, **(OVER | over))
        self.tokens[tenant] = token
        await self.stage.ask("GET", "/v1/jobs", token)
        return token

    def fill(self, tenant: str = "flood") -> None:
        """Take all the room, as submissions under way would."""
        now = self.stage.deps.clock.monotonic()
        for capacity in (self.single, self.bulk):
            while capacity.begin(tenant, now) is None:
                pass

    def empty(self, tenant: str = "flood") -> None:
        """Give it back."""
        now = self.stage.deps.clock.monotonic()
        for capacity in (self.single, self.bulk):
            for _ in range(capacity._under_way[tenant]):
                capacity.end(tenant, now)

    def under_way(self) -> int:
        return self.single._total + self.bulk._total

    def request(self, token: str, *lines: str, path: str = "/v1/jobs", body: bytes = BODY, length: str = "") -> bytes:
        """The bytes of a submission; lines replace its own headers of the same names."""
        own = {
            "host": "x", "content-type": "application/json", "idempotency-key": new_key(),
            "authorization": f"Bearer {token}", "content-length": length or str(len(body)),
        }  # fmt: skip
        for line in lines:
            own.pop(line.partition(":")[0].lower(), None)
        head = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in own.items()), *lines]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    async def tell(self, *parts: bytes) -> httpx2.Response:
        """Send parts on a connection of their own; the answer."""
        async with self.connected() as (reader, writer):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await hear(reader)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def hear(reader: asyncio.StreamReader) -> httpx2.Response:
    """The next answer of a connection."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    lines = head.decode().split("\r\n")[:-2]
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:])]
    status = int(lines[0].split()[1])
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return httpx2.Response(status, headers=headers, content=await reader.readexactly(length))


@contextlib.asynccontextmanager
async def crowded(folder: Path, **chosen: Any) -> AsyncIterator[Crowd]:
    async with staged(folder, **chosen) as stage:
        crowd = Crowd(stage)
        with listen(20_000) as listener:
            server = WebServer(crowd.app, listener, websockets=True, refusal=stage.interface.door.refusal)
            await server.start()
            crowd.port = port_of(listener)
            yield crowd
            await server.stop()


@pytest.fixture
async def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    # What the door knows of a tenant it knows for as long as the test takes.
    monkeypatch.setattr(directory, "REMEMBER_S", 1e9)
    async with crowded(tmp_path) as found:
        yield found


async def test_while_the_platform_catches_up_it_is_the_door_that_says_so(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await crowd.known("flood")
    watch, clock = crowd.stage.deps.watch, crowd.stage.deps.clock
    # It stands for as long as the test may take: the interface looks once a second.
    monkeypatch.setattr(watchlist, "FRESH_S", 60.0)
    now = clock.now_ms()
    await crowd.stage.store.transact(lambda tx: tx.run("behind_put", owner="b", now=now, wait_ms=15_000, per_s=0.0))
    backlog, now_s = watch.backlog, clock.monotonic()
    backlog.see(Behind(15.0, 0.0), 0, now_s - PATIENCE_S)
    await watch.refresh()
    assert (await crowd.tell(crowd.request(token))).status_code == 202
    backlog.took("flood", 1_000_000, now_s)
    passed = list(crowd.passed)
    answer = await crowd.tell(crowd.request(token))
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "overloaded", "13")
    assert crowd.passed == passed
    assert crowd.under_way() == 0


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/jobs", BODY), ("/v1/jobs:batch", b'{"jobs":[]}')], ids=["one job", "many jobs"]
)
async def test_who_is_refused_at_the_door_is_told_what_everyone_is_told(crowd: Crowd, path: str, body: bytes) -> None:
    token = await crowd.known("flood")
    crowd.fill()
    ordinary = await crowd.stage.ask("POST", path, token, body, Idempotency_Key=new_key(), traceparent=TRACE)
    crowd.passed.clear()
    request = crowd.request(token, f"traceparent: {TRACE}", "X-Request-Id: mine-1", path=path, body=body)
    told = await crowd.tell(request)
    assert crowd.passed == [], "the application hears nothing of it"
    assert (told.status_code, ordinary.status_code) == (503, 503)
    assert set(told.headers) - set(ordinary.headers) == {"date"}
    assert set(ordinary.headers) <= set(told.headers)
    assert len(told.headers.raw) == len(set(told.headers)), "each of them once"
    fixed = [name for name in ordinary.headers if not name.startswith(("ratelimit", "x-ratelimit", "x-request"))]
    for name in set(fixed) - {"traceparent"}:
        assert told.headers[name] == ordinary.headers[name], name
    for name in ("ratelimit-policy", "x-ratelimit-limit"):
        assert told.headers[name] == ordinary.headers[name], name
    assert told.headers["retry-after"] == "1"
    assert told.headers["api-version"] == "1.0"
    assert told.headers["content-type"] == "application/problem+json"
    assert told.headers["x-request-id"] == "mine-1"
    assert told.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    assert told.headers["traceparent"] != TRACE, "a span of its own"
    problem, other = told.json(), ordinary.json()
    assert (problem["code"], problem["violated-policies"], problem["instance"]) == ("overloaded", ["capacity"], path)
    assert problem == other


async def test_without_a_trace_or_an_id_it_is_given_both(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    crowd.fill()
    for line in ("Accept: */*", "X-Request-Id: not good!", "traceparent: 00-zz-zz-01"):
        told = await crowd.tell(crowd.request(token, line))
        _, trace, _, _ = told.headers["traceparent"].split("-")
        assert told.headers["x-request-id"] == told.headers["traceparent"][36:52]
        assert trace in told.text


async def test_a_crowd_is_refused_on_kept_connections_and_counted_once_each(crowd: Crowd, tmp_path: Path) -> None:
    token = await crowd.known("flood")
    crowd.fill()
    crowd.passed.clear()

    async def one() -> list[int]:
        found = []
        async with crowd.connected() as (reader, writer):
            for _ in range(3):
                writer.write(crowd.request(token))
                found.append((await hear(reader)).status_code)
        return found

    told = [status for found in await asyncio.gather(*(one() for _ in range(40))) for status in found]
    assert (Counter(told), crowd.passed) == (Counter({503: 120}), [])
    metrics = crowd.stage.deps.telemetry.metrics_text().decode()
    assert 'http_requests_total{method="POST",plan="enterprise",route="/v1/jobs",status="503"} 120.0' in metrics
    assert 'http_request_duration_seconds_count{method="POST",plan="enterprise",route="/v1/jobs"} 120.0' in metrics
    size = f'http_request_size_bytes_sum{{method="POST",route="/v1/jobs"}} {float(120 * len(BODY))}'
    assert size in metrics

    def logged() -> int:
        files = those_that_count(log_files(tmp_path / REQUEST_LOG))
        if not files:
            return 0
        rows = pl.concat([pl.read_parquet(file.path) for file in files])
        mine = (pl.col("route") == "/v1/jobs") & (pl.col("method") == "POST") & (pl.col("status") == 503)
        found = rows.filter(mine & (pl.col("plan") == "enterprise"))
        assert int(found["errors_5xx"].sum()) == int(found["count"].sum())
        return int(found["count"].sum())

    await eventually(lambda: logged() == 120)


async def test_a_tenant_within_its_share_passes_while_another_floods(crowd: Crowd) -> None:
    flood, calm = await crowd.known("flood"), await crowd.known("calm")
    crowd.fill()
    full = crowd.under_way()
    crowd.passed.clear()
    for _ in range(10):
        answers = await asyncio.gather(
            crowd.tell(crowd.request(flood)), crowd.tell(crowd.request(calm)), crowd.tell(crowd.request(flood))
        )
        assert [answer.status_code for answer in answers] == [503, 202, 503]
    assert crowd.passed == ["/v1/jobs"] * 10, "they alone"
    assert crowd.under_way() == full, "and their seats came back"


async def test_when_it_is_over_everyone_is_let_in_again(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    crowd.fill()
    assert (await crowd.tell(crowd.request(token))).status_code == 503
    crowd.empty()
    assert (await crowd.tell(crowd.request(token))).status_code == 202
    assert crowd.under_way() == 0


BIG = b"[" + b" " * 70_000 + b"]"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        (["Authorization: Bearer nobody"], BODY, 401),
        (["Accept-Version: 9.0"], BODY, 400),
        (["Accept-Version: 1.0"], BODY, 503),
        (["Idempotency-Key: a", "Idempotency-Key: b"], BODY, 400),
        (["Content-Length: 99999999"], b"", 413),
        (["Content-Length: 99999999999999999999"], b"", 400),
        (["Transfer-Encoding: chunked", "Content-Length: 1"], CHUNKS, 400),
        ([], BIG, 503),
        (["Expect: 100-continue"], BODY, 503),
        (["Connection: close"], BODY, 503),
        (["Origin: https://page.example"], BODY, 503),
    ],
    ids=[
        "an unknown token", "a version that is not served", "a version that is served", "a header twice",
        "a body that is too long", "a length without end", "two lengths", "a long body", "asks to go on", "closing",
        "of a page",
    ],
)  # fmt: skip
async def test_who_is_to_be_told_something_else_is_told_that(
    crowd: Crowd, lines: list[str], body: bytes, status: int
) -> None:
    token = await crowd.known("flood", body_bytes=1_000_000)
    crowd.fill()
    full = crowd.under_way()
    told = await crowd.tell(crowd.request(token, *lines, body=body))
    assert told.status_code == status
    assert crowd.under_way() == full


async def test_a_body_in_chunks_goes_the_ordinary_way_and_ends_there(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    crowd.fill()
    crowd.passed.clear()
    request = crowd.request(token, "Transfer-Encoding: chunked", body=CHUNKS).replace(
        b"content-length: %d\r\n" % len(CHUNKS), b""
    )
    assert (await crowd.tell(request)).status_code == 503
    assert crowd.passed == ["/v1/jobs"]


async def test_the_plan_s_own_body_cap_comes_first(crowd: Crowd) -> None:
    token = await crowd.known("flood", body_bytes=10)
    crowd.fill()
    assert (await crowd.tell(crowd.request(token))).status_code == 413


async def test_a_token_without_the_scope_is_told_so(crowd: Crowd) -> None:
    token = await crowd.known("reader", ("jobs:read",))
    crowd.fill()
    assert (await crowd.tell(crowd.request(token))).status_code == 403


async def test_a_tenant_over_its_own_limit_is_told_of_that(crowd: Crowd) -> None:
    token = await crowd.known("flood", requests_per_second=1)
    crowd.fill()
    told = [await crowd.tell(crowd.request(token)) for _ in range(20)]
    assert told[-1].status_code == 429
    assert told[-1].json()["code"] == "rate-limit-exceeded"
    assert {answer.status_code for answer in told} <= {429, 503}


async def test_a_suspended_tenant_is_told_so(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    await crowd.stage.sql("UPDATE tenants SET status = 'suspended' WHERE tenant = 'flood'")
    crowd.stage.deps.directory.forget("flood")
    crowd.fill()
    for _ in range(2):
        assert (await crowd.tell(crowd.request(token))).status_code == 403


async def test_what_is_no_submission_passes(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    crowd.fill()
    full = crowd.under_way()
    head = f"\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    for line in (b"GET /v1/jobs HTTP/1.1", b"GET /v1/jobs HTTP/1.0"):
        assert (await crowd.tell(line + head + b"\r\n")).status_code == 200
    async with crowd.connected() as (reader, writer):
        writer.write(b"HEAD /v1/jobs HTTP/1.1" + head + b"\r\n")
        assert b" 200 " in await reader.readline()
    for line in (b"GET /v1/jobs HTTP/1.1", b"POST /v1/jobs HTTP/1.1"):
        async with crowd.connected() as (reader, writer):
            writer.write(line + head + upgrade + key + b"\r\n")
            assert b" 503 " not in (await asyncio.wait_for(reader.readline(), 10))
    assert crowd.under_way() == full


async def test_a_page_of_another_origin_can_read_why_it_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "REMEMBER_S", 1e9)
    async with crowded(tmp_path, cors_origins="https://page.example") as crowd:
        token = await crowd.known("flood")
        crowd.fill()
        told = await crowd.tell(crowd.request(token, "Origin: https://page.example"))
        assert told.status_code == 503
        assert told.headers["access-control-allow-origin"] == "https://page.example"


async def test_a_request_that_is_refused_for_a_header_that_stands_twice_has_an_id(crowd: Crowd) -> None:
    token = await crowd.known("flood")
    told = await crowd.tell(crowd.request(token, "Idempotency-Key: a", "Idempotency-Key: b"))
    assert told.status_code == 400
    assert told.headers["x-request-id"]


BREAKS = b'{"breaks": true}'
ACTS = ("whole", "head", "half", "twice", "bad json", "wrong key", "bulk", "breaks", "close", "behind bad")


async def _act(crowd: Crowd, tenant: str, act: str) -> None:
    """One client that does as it likes, and goes away without waiting for an answer where it did not ask whole."""
    token = crowd.tokens[tenant]
    whole = crowd.request(token)
    async with crowd.connected() as (reader, writer):
        if act in ("head", "half"):
            writer.write(whole[: -len(BODY)] if act == "head" else whole[: -len(BODY) // 2])
            await writer.drain()
            return
        if act == "bulk":
            whole = crowd.request(token, path="/v1/jobs:batch", body=b'{"jobs":[%b]}' % BODY)
        elif act == "bad json":
            whole = crowd.request(token, body=b"{")
        elif act == "wrong key":
            whole = crowd.request(token, "Idempotency-Key: " + "k" * 500)
        elif act == "close":
            whole = crowd.request(token, "Connection: close")
        elif act == "behind bad":
            whole += b"GET / HTTP/1.1\r\n\r\n" + whole
        elif act == "twice":
            whole += crowd.request(token)
        elif act == "breaks":
            whole = crowd.request(token, body=BREAKS)
        writer.write(whole)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for _ in range(1 + (act == "twice")):
                await hear(reader)


def _fragile(intake: Any) -> None:
    """From here on the intake fails of one body."""
    honest = intake.submit

    async def submit(tenant: Any, body: bytes, *rest: Any) -> Any:
        if body == BREAKS:
            raise RuntimeError("told to fail")
        return await honest(tenant, body, *rest)

    intake.submit = submit


@settings(max_examples=12, deadline=None)
@given(
    filled=st.booleans(),
    waves=st.lists(
        st.lists(st.tuples(st.sampled_from(["flood", "calm"]), st.sampled_from(ACTS)), min_size=1, max_size=12),
        max_size=3,
    ),
)
def test_seats_come_back_whatever_clients_do(
    tmp_path_factory: pytest.TempPathFactory, filled: bool, waves: list[list[tuple[str, str]]]
) -> None:
    async def story() -> None:
        async with crowded(tmp_path_factory.mktemp("crowd")) as crowd:
            _fragile(crowd.stage.deps.intake)
            for tenant in ("flood", "calm"):
                await crowd.known(tenant)
            if filled:
                crowd.fill()
            full = crowd.under_way()
            for wave in waves:
                await asyncio.gather(*(_act(crowd, tenant, act) for tenant, act in wave))
            await eventually(lambda: crowd.under_way() == full)
            crowd.empty()
            assert (crowd.single._under_way, crowd.bulk._under_way) == ({}, {})

    asyncio.run(story())
