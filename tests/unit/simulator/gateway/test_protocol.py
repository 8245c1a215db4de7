"""The limits below HTTP, asked with raw bytes as a careless or hostile client sends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send

from simulator.gateway import protocol
from simulator.supervisor.ports import listen, port_of
from simulator.web import WebServer

HOST = b"Host: 127.0.0.1\r\n"


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how long the body was."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    with listen(20_000) as listener:
        server = WebServer(_echo, listener)
        await server.start()
        yield port_of(listener)
        await server.stop()


async def _talk(port: int, *parts: bytes) -> bytes:
    """Send parts, read until the server closes or the answer is complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await asyncio.wait_for(reader.readexactly(length), 10)
    finally:
        writer.close()


async def test_a_plain_request_passes(port: int) -> None:
    assert (await _talk(port, b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_large_body_is_not_taken_for_a_head(port: int) -> None:
    body = b"x" * 300_000
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 300000\r\n\r\n"
    for parts in ((head + body,), (head[:-2], head[-2:] + body), (head[:-3], head[-3:-1], head[-1:] + body)):
        answer = await _talk(port, *parts)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"300000")


@pytest.mark.parametrize("extra", [0, 1])
async def test_the_head_may_hold_32_kb_and_no_more(port: int, extra: int) -> None:
    start = b"GET / HTTP/1.1\r\n" + HOST + b"X-Long: "
    head = start + b"x" * (protocol.HEAD_BYTES - len(start) + extra)
    answer = await _talk(port, head + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431" if extra else b"HTTP/1.1 200")


async def test_headers_without_end_are_cut_off(port: int) -> None:
    answer = await _talk(port, b"GET / HTTP/1.1\r\n" + HOST, b"X-A: " + b"a" * 40_000)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("hosts", [b"", HOST + HOST])
async def test_exactly_one_host_is_needed(port: int, hosts: bytes) -> None:
    answer = await _talk(port, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Host" in answer


async def test_what_is_not_http_is_refused(port: int) -> None:
    answer = await _talk(port, b"\x16\x03\x01 hello\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"malformed-request" in answer


LENGTH, CHUNKED = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        LENGTH + CHUNKED, CHUNKED + LENGTH, LENGTH + b"Content-Length: 6\r\n", LENGTH + LENGTH,
        b"Transfer-Encoding: xchunked\r\n", CHUNKED + b"Transfer-Encoding: identity\r\n", b"Content-Length : 5\r\n",
        b"Content-Length: +5\r\n", b"Content-Length: 0x5\r\n", b"X-A: b\r\n c\r\n", b"X-A: b\0c\r\n",
    ],
    ids=[
        "length and chunks", "chunks and length", "two lengths", "the same length twice", "unknown coding",
        "two codings", "space before the colon", "signed length", "hex length", "folded line", "null byte",
    ],
)  # fmt: skip
async def test_what_two_servers_could_read_differently_is_refused_and_the_connection_closed(
    port: int, lines: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    inner = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    writer.write(b"POST / HTTP/1.1\r\n" + HOST + lines + b"\r\n0\r\n\r\n" + inner)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_slow_head_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.05)
    assert (await _talk(port, b"GET / HT")).startswith(b"HTTP/1.1 408")


async def test_a_body_that_stops_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_PROGRESS_WITHIN_S", 0.05)
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n"
    assert (await _talk(port, head, b"12345")).startswith(b"HTTP/1.1 408")


async def test_a_kept_connection_serves_again_after_a_pause(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        while await reader.readline() != b"\r\n":
            pass
        assert await reader.readexactly(1) == b"0"
        # Longer than the head may take: an idle connection is not a slow request.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
    writer.close()
