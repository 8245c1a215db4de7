"""Following jobs over real connections on loopback: nothing missed, nothing twice, slow readers dropped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator.broker.memory import MemoryBroker
from simulator.live.changes import changes
from simulator.live.hub import JOBS_MOST, QUEUE_MOST, Follower, Hub, SlowConsumer
from simulator.web import WebServer
from tests.contract.stage import REVOKE, SIEVE, SLOW, Stage, basic, new_key, staged
from tests.support.nats import eventually
from zjops.domain.ids import job_key


@contextlib.asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[tuple[Stage, str]]:
    async with staged(folder, **settings) as stage:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = WebServer(stage.app, listener, websockets=True)
            await server.start()
            yield stage, f"127.0.0.1:{listener.getsockname()[1]}"
            await server.stop()


def _bearer(token: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


async def _until_confirmed(socket: Any, jobs: set[str]) -> list[dict[str, Any]]:
    heard, open_ = [], set(jobs)
    while open_:
        message = json.loads(await asyncio.wait_for(socket.recv(), 20))
        heard.append(message)
        if message["status"] in ("confirmed", "cancelled"):
            open_.discard(message["jobId"])
    return heard


async def test_every_change_of_each_job_comes_once_and_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as (stage, at):
        token = await stage.client("acme")
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(token)) as socket:
            jobs = {await stage.job(token) for _ in range(20)}
            await socket.send(json.dumps({"action": "subscribe", "jobIds": sorted(jobs)}))
            heard = await _until_confirmed(socket, jobs)
        for job in jobs:
            statuses = [m["status"] for m in heard if m["jobId"] == job]
            assert statuses == ["pending", "processing", "completed", "confirmed"]
        done = next(m for m in heard if m["status"] == "completed")
        assert done["result"] == {"count": 25, "largest": 97, "sum": 1060}
        assert isinstance(done["timestamp"], float)


async def test_whoever_asks_for_many_jobs_at_once_is_not_slow_for_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (stage, at):
        token = await stage.client("acme", "enterprise", active_jobs=1000)
        jobs: set[str] = set()
        for _ in range(3):
            reply = await stage.ask("POST", "/v1/jobs:batch", token, {"jobs": [SIEVE] * 100}, Idempotency_Key=new_key())
            jobs |= {item["job"]["jobId"] for item in reply.json()["items"]}
        assert len(jobs) == 300
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(token)) as socket:
            await socket.send(json.dumps({"action": "subscribe", "jobIds": sorted(jobs)}))
            await _until_confirmed(socket, jobs)
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(token)) as socket:
            await socket.send(json.dumps({"action": "subscribe", "jobIds": sorted(jobs)}))
            heard = [json.loads(await asyncio.wait_for(socket.recv(), 20)) for _ in range(4 * len(jobs))]
        assert len({(m["jobId"], m["sequence"]) for m in heard}) == 4 * len(jobs)


async def test_after_a_reconnect_only_what_is_new_comes_and_nothing_is_lost(tmp_path: Path) -> None:
    async with serving(tmp_path) as (stage, at):
        token = await stage.client("acme")
        job = await stage.job(token)
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(token)) as socket:
            await socket.send(json.dumps({"action": "subscribe", "jobIds": [job]}))
            first = json.loads(await socket.recv())
        await asyncio.sleep(0.3)
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(token)) as socket:
            ask = {"action": "subscribe", "jobIds": [job], "after": {job: first["sequence"]}}
            await socket.send(json.dumps(ask))
            rest = await _until_confirmed(socket, {job})
        assert [m["status"] for m in [first, *rest]] == ["pending", "processing", "completed", "confirmed"]


async def test_tickets_work_once_and_subprotocols_carry_tokens(tmp_path: Path) -> None:
    async with serving(tmp_path) as (stage, at):
        token = await stage.client("acme")
        ticket = (await stage.ask("POST", "/v1/jobs/subscribe/tickets", token)).json()["ticket"]
        url = f"ws://{at}/v1/jobs/subscribe"
        async with websockets.connect(f"{url}?ticket={ticket}"):
            pass
        for wrong in (f"{url}?ticket={ticket}", f"{url}?ticket=guessed", url):
            with pytest.raises(InvalidStatus) as refused:
                await websockets.connect(wrong)
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body)["code"] == "unauthorized"
        async with websockets.connect(url, subprotocols=["zjops.v1", f"bearer.{token}"]) as socket:
            assert socket.subprotocol == "zjops.v1"


async def test_an_expired_token_closes_with_4401_and_other_peoples_jobs_are_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path) as (stage, at):
        mine, other = await stage.client("acme"), await stage.client("rival")
        job = await stage.job(other, SLOW)
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(mine)) as socket:
            for text, code in (
                (json.dumps({"action": "subscribe", "jobIds": [job]}), "not-found"), ("{", "malformed-request"),
                (json.dumps({"action": "dance"}), "invalid-parameter"), ("[" * 2000, "malformed-request"),
            ):  # fmt: skip
                await socket.send(text)
                assert json.loads(await socket.recv())["error"]["code"] == code
        known = stage.deps.verifier._known
        for digest, principal in list(known.items()):
            known[digest] = principal._replace(expires_at=stage.deps.clock.now_ms() // 1000 + 1)
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(mine)) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


def _row(**values: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "id": b"\1" * 16, "status": "pending", "accepted_at": 1000, "started_at": None, "completed_at": None,
        "confirmed_at": None, "result": None, "result_bytes": None, "error_code": None, "error_message": None,
        "tx_hash": None, "block_number": None,
    }  # fmt: skip
    return base | values


async def test_a_reader_who_does_not_read_is_dropped_not_buffered() -> None:
    follower = Follower("acme")
    for number in range(QUEUE_MOST + 1):
        follower.tell(_row(id=number.to_bytes(16, "big")))
    assert follower.waiting.qsize() == QUEUE_MOST
    with pytest.raises(SlowConsumer):
        await follower.next(0.01)


async def test_large_results_that_nobody_reads_are_bounded_by_their_bytes() -> None:
    follower = Follower("acme")
    result = b'"' + b"x" * 19_000 + b'"'
    for number in range(1, 300):
        done = _row(id=number.to_bytes(16, "big"), status="completed", completed_at=2, result=result,
                    result_bytes=len(result))  # fmt: skip
        follower.tell(done)
    assert 4_000_000 // 20_000 < follower.waiting.qsize() < 450
    with pytest.raises(SlowConsumer):
        await follower.next(0.01)


async def test_all_changes_of_as_many_jobs_as_may_be_followed_wait_for_a_reader_who_reads() -> None:
    follower = Follower("acme")
    final = {"status": "confirmed", "started_at": 2, "completed_at": 3, "confirmed_at": 4, "tx_hash": "0x1"}
    for number in range(JOBS_MOST):
        follower.tell(_row(id=number.to_bytes(16, "big"), result=b"{}", result_bytes=2, **final))
    heard = [await follower.next(0.01) for _ in range(4 * JOBS_MOST)]
    assert None not in heard


def _own_hub(stage: Stage) -> Hub:
    """A hub whose broker is away, so that no event reaches it."""
    return Hub(stage.store, MemoryBroker(stage.deps.clock), stage.deps.clock)


def _waiting(follower: Follower) -> list[int]:
    return [json.loads(follower.waiting.get_nowait() or b"")["sequence"] for _ in range(follower.waiting.qsize())]


async def test_a_second_follower_does_not_take_the_end_from_the_first(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        hub, first, second = _own_hub(stage), Follower("acme"), Follower("acme")
        job = await stage.job(token)
        await hub.follow(first, {job_key(job): 0})

        async def final() -> bool:
            return bool((await stage.ask("GET", f"/v1/jobs/{job}", token)).json()["status"] == "confirmed")

        await eventually(final)
        await hub.follow(second, {job_key(job): 0})
        assert (_waiting(first)[-1], _waiting(second)[-1]) == (4, 4)
        assert hub.jobs == 0


async def test_a_change_that_no_event_told_of_is_found_while_others_ring(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        hub, follower = _own_hub(stage), Follower("acme")
        await hub.follow(follower, {job_key(await stage.job(token)): 0})
        await hub.start()

        def heard_the_end() -> bool:
            hub._rung.set()
            return 4 in follower.told.values()

        await eventually(heard_the_end)
        await hub.stop()


@pytest.mark.parametrize(("act", "code"), [("revoke", 4401), ("suspend", 1008)])
async def test_who_may_no_longer_ask_may_no_longer_listen(tmp_path: Path, act: str, code: int) -> None:
    async with serving(tmp_path, batch_max_age_s=60) as (stage, at):
        token = await stage.client("acme")
        job = await stage.job(token)
        headers = {"Authorization": f"Bearer {token}"}
        async with websockets.connect(f"ws://{at}/v1/jobs/subscribe", **_bearer(token)) as socket, httpx2.AsyncClient(
            timeout=20
        ) as http, http.stream("GET", f"http://{at}/v1/jobs/{job}/stream", headers=headers) as events:  # fmt: skip
            await socket.send(json.dumps({"action": "subscribe", "jobIds": [job]}))
            await socket.recv()
            if act == "revoke":
                await stage.http.post(REVOKE, data={"token": token}, headers=basic("c-acme"))
            else:
                body = {"status": "suspended", "reason": "test"}
                await stage.ask("PATCH", "/v1/admin/tenants/acme", await stage.operator(), body)
            await asyncio.wait_for(socket.wait_closed(), 10)
            assert socket.close_code == code
            assert b"id: 1" in await events.aread()


async def test_the_head_of_a_stream_is_answered_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, batch_max_age_s=60) as (stage, at):
        token = await stage.client("acme")
        job = await stage.job(token)
        async with httpx2.AsyncClient(timeout=5) as http:
            reply = await http.head(f"http://{at}/v1/jobs/{job}/stream", headers={"Authorization": f"Bearer {token}"})
        assert reply.headers["content-type"].startswith("text/event-stream")


async def test_a_reader_who_takes_nothing_is_dropped_in_the_middle_of_a_message(tmp_path: Path) -> None:
    async with staged(tmp_path, batch_max_age_s=60) as stage:
        token = await stage.client("acme")
        job = await stage.job(token)
        ask = json.dumps({"action": "subscribe", "jobIds": [job]})
        coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in ({"type": "websocket.connect"}, {"type": "websocket.receive", "text": ask}):
            coming.put_nowait(message)
        codes: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "websocket.send":
                for follower in stage.deps.hub._followers[job_key(job)]:
                    follower.dropped.set()
                await asyncio.Event().wait()
            elif message["type"] == "websocket.close":
                codes.append(message["code"])

        scope = {
            "type": "websocket", "path": "/v1/jobs/subscribe", "query_string": b"", "subprotocols": [],
            "headers": [(b"authorization", f"Bearer {token}".encode())], "client": ("198.51.100.7", 1),
        }  # fmt: skip
        await asyncio.wait_for(stage.app(scope, coming.get, send), 10)
        assert codes == [4408]


def test_a_failed_job_keeps_its_status_on_chain() -> None:
    row = _row(status="failed", completed_at=3000, confirmed_at=4000, error_code="timeout", tx_hash="0x1")
    told = changes(row)
    assert [(c.number, c.message["status"]) for c in told] == [(1, "pending"), (3, "failed"), (4, "failed")]
    assert changes(row, after=3) == told[2:]


async def test_sse_resumes_after_the_last_event_id_and_ends_with_the_job(tmp_path: Path) -> None:
    async with serving(tmp_path, batch_max_age_s=60) as (stage, at):
        token = await stage.client("acme")
        job = await stage.job(token, SIEVE)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(timeout=20) as http:
            whole = await http.get(f"http://{at}/v1/jobs/{job}/stream", headers=headers)
            rest = await http.get(f"http://{at}/v1/jobs/{job}/stream", headers=headers | {"Last-Event-ID": "2"})
        assert whole.headers["content-type"].startswith("text/event-stream")
        ids = [line[4:] for line in whole.text.splitlines() if line.startswith("id: ")]
        assert ids == ["1", "2", "3", "4"]
        assert [line[4:] for line in rest.text.splitlines() if line.startswith("id: ")] == ["3", "4"]
