"""Requests that end when their head is there, asked with raw bytes over a real socket: the connection goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from simulator import web
from simulator.gateway import protocol
from simulator.supervisor.ports import listen, port_of
from simulator.web import WebServer

HOST = b"Host: x\r\n"
FULL = b"content-length: 4\r\n\r\nfull"


class Server:
    """An application that tells how long a body was, and a door that refuses what is asked of `/full`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.served: list[str] = []
        self.port = 0

    def refusal(self, scope: Scope, headers: list[tuple[bytes, bytes]]) -> bytes | None:
        self.asked.append(scope["path"])
        return FULL if scope["path"] == "/full" else None

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        self.served.append(scope["path"])
        size, more = 0, scope["path"] != "/hasty"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()

    async def hear(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), await asyncio.wait_for(self._reader.readexactly(length), 10)

    async def silent(self, seconds: float = 0.05) -> bool:
        try:
            await asyncio.wait_for(self._reader.read(1), seconds)
        except TimeoutError:
            return True
        return False

    async def ended(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self._reader.read(), 10)

    def close(self) -> None:
        self._writer.close()


def post(path: bytes, body: bytes = b"", *lines: bytes, version: bytes = b"1.1") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST %b HTTP/%b\r\n" % (path, version) + HOST + length + b"".join(lines) + b"\r\n" + body


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    with listen(20_000) as listener:
        running = WebServer(found.app, listener, refusal=found.refusal, websockets=True)
        await running.start()
        found.port = port_of(listener)
        yield found
        await running.stop()


@contextlib.asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
    try:
        yield client
    finally:
        client.close()


async def test_a_refused_request_is_not_served_and_the_connection_is_kept(server: Server) -> None:
    async with connected(server) as client:
        for _ in range(3):
            await client.say(post(b"/full", b"x" * 10))
            assert await client.hear() == (503, b"full")
            await client.say(post(b"/good", b"x" * 10))
            assert await client.hear() == (200, b"10")
    assert server.served == ["/good"] * 3


@pytest.mark.parametrize("at", [1, 5, 9])
async def test_the_answer_waits_for_a_body_that_comes_later_and_in_pieces(server: Server, at: int) -> None:
    async with connected(server) as client:
        whole = post(b"/full", b"x" * 10)
        head, body = whole[:-10], whole[-10:]
        await client.say(head)
        assert await client.silent()
        await client.say(body[:at])
        assert await client.silent()
        await client.say(body[at:] + post(b"/good", b"y"))
        assert [await client.hear(), await client.hear()] == [(503, b"full"), (200, b"1")]


async def test_a_refused_request_in_a_pipeline_is_answered_in_its_turn(server: Server) -> None:
    paths = [b"/full", b"/full", b"/good", b"/full", b"/good"]
    async with connected(server) as client:
        await client.say(b"".join(post(path, b"x" * size) for size, path in enumerate(paths)))
        assert [await client.hear() for _ in paths] == [
            (503, b"full"), (503, b"full"), (200, b"2"), (200, b"3"), (200, b"4"),
        ]  # fmt: skip
        await client.say(post(b"/full"))
        assert await client.hear() == (503, b"full")
    assert server.asked == ["/full", "/full", "/good", "/full"], "who stands behind another goes the ordinary way"


async def test_who_reads_no_answers_fills_no_memory_with_them(server: Server) -> None:
    answers = 20_000
    async with connected(server) as client:
        saying = asyncio.create_task(client.say(*[post(b"/full") * 100] * (answers // 100)))
        await client.silent(0)
        told = [await client.hear() for _ in range(answers)]
        await saying
    assert {status for status, _ in told} <= {200, 503}
    assert len(told) == answers


@pytest.mark.parametrize(
    "request_head",
    [post(b"/full", version=b"1.0"), post(b"/full", b"", b"Connection: close\r\n")],
    ids=["HTTP/1.0", "closing"],
)
async def test_who_will_close_the_connection_goes_the_ordinary_way(server: Server, request_head: bytes) -> None:
    async with connected(server) as client:
        await client.say(request_head)
        assert await client.hear() == (200, b"0")
        assert await client.ended() == b""
    assert server.asked == []


async def test_a_websocket_is_not_asked_at_the_door(server: Server) -> None:
    key = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + key
    async with connected(server) as client:
        await client.say(b"GET /full HTTP/1.1\r\n" + HOST + upgrade + b"\r\n")
        assert (await client.ended()).startswith(b"HTTP/1.1 403")
    async with connected(server) as client:
        await client.say(post(b"/full", b"", upgrade))
        assert b" 503 " not in await client.ended()
    assert server.asked == []


@pytest.mark.parametrize("sent", [0, 1, 9])
async def test_a_client_that_goes_away_before_its_body_is_whole_harms_nobody(server: Server, sent: int) -> None:
    for _ in range(5):
        async with connected(server) as gone:
            await gone.say(post(b"/full", b"x" * 10)[: sent - 10])
    async with connected(server) as client:
        await client.say(post(b"/full", b"x"))
        assert await client.hear() == (503, b"full")
    assert server.served == []


async def test_a_refused_request_whose_body_stops_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_PROGRESS_WITHIN_S", 0.05)
    async with connected(server) as client:
        await client.say(post(b"/full", b"x" * 10)[:-5])
        answer = await client.ended()
    assert answer.startswith(b"HTTP/1.1 408")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_who_was_answered_before_its_body_had_come_is_not_answered_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "BODY_WITHIN_S", 0.05)
    async with connected(server) as client:
        await client.say(post(b"/hasty", b"x" * 10)[:-5])
        assert await client.hear() == (200, b"0")
        assert await client.ended() == b""


async def test_nothing_is_served_that_stands_behind_a_request_that_was_refused_for_its_form(server: Server) -> None:
    async with connected(server) as client:
        await client.say(b"GET /bad HTTP/1.1\r\n\r\n" + post(b"/good") + post(b"/full"))
        answer = await client.ended()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1
    async with connected(server) as client:
        await client.say(post(b"/last"))
        assert await client.hear() == (200, b"0")
    assert (server.asked, server.served) == (["/last"], ["/last"])


async def test_a_door_that_fails_refuses_the_request_and_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(scope: Any, headers: Any) -> bytes | None:
        raise RuntimeError("broken")

    async with connected(server) as client:
        monkeypatch.setattr(protocol.LimitedProtocol, "_ends_at_the_door", broken)
        await client.say(post(b"/good"))
        assert (await client.ended()).startswith(b"HTTP/1.1 400")
        monkeypatch.undo()
    async with connected(server) as client:
        await client.say(post(b"/good"))
        assert await client.hear() == (200, b"0")


@pytest.mark.parametrize("path", [b"/hasty", b"/full"])
async def test_a_connection_is_not_kept_for_ever_after_a_body_that_came_late(
    server: Server, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application may answer before the body has come; what comes then makes the connection idle."""
    monkeypatch.setattr(web, "KEEP_ALIVE_S", 0.05)
    with listen(20_000) as listener:
        impatient = WebServer(server.app, listener, refusal=server.refusal)
        await impatient.start()
        client = Client(*await asyncio.open_connection("127.0.0.1", port_of(listener)))
        whole = post(path, b"x" * 10)
        await client.say(whole[:-10])
        if path == b"/hasty":
            assert await client.hear() == (200, b"0")
        await client.say(whole[-10:])
        if path == b"/full":
            assert await client.hear() == (503, b"full")
        assert await client.ended() == b""
        client.close()
        await impatient.stop()


@pytest.mark.parametrize("before", [b"/good", b"/full"])
async def test_the_body_of_a_request_that_was_begun_behind_another_is_not_taken_for_its_head(
    server: Server, before: bytes
) -> None:
    behind = post(b"/good", b"z" * 40_000 + b"\r\n\r\n" + b"z" * 20_000)
    split = behind.index(b"\r\n\r\n") + 2
    async with connected(server) as client:
        await client.say(post(before) + behind[:split])
        assert (await client.hear())[0] in (200, 503)
        await client.say(behind[split:])
        assert await client.hear() == (200, b"60004")
