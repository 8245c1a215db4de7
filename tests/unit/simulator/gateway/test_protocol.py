"""The limits below HTTP, asked with raw bytes as a careless or hostile client sends them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest
from starlette.types import Receive, Scope, Send

from simulator import web
from simulator.gateway import protocol
from simulator.gateway.cycle import default_lines
from simulator.gateway.exchange import WHOLE
from simulator.supervisor.ports import listen, port_of
from simulator.web import WebServer
from zjops.domain.clock import SystemClock

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


async def _trickle(port: int, head: bytes) -> bytes:
    """Send a head, then a byte at a time until there is an answer; all of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answer = asyncio.create_task(reader.read())
    while not answer.done():
        with contextlib.suppress(ConnectionError):
            writer.write(b"x")
            await writer.drain()
        await asyncio.wait([answer], timeout=0.005)
    writer.close()
    return await answer


async def test_a_body_that_comes_a_little_at_a_time_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_WITHIN_S", 0.05)
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n"
    answer = (await asyncio.wait_for(_trickle(port, head), 10)).lower()
    assert answer.startswith(b"http/1.1 408 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert b"\r\ncontent-type: application/problem+json\r\n" in answer
    assert b'"request-timeout"' in answer


async def test_a_body_may_take_the_longer_the_more_of_it_has_come(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_WITHIN_S", 0.05)
    monkeypatch.setattr(protocol, "BODY_BYTES_PER_S", 10)
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 110\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"x" * 100)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    writer.write(b"x" * 10)
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_each_body_of_a_connection_has_its_own_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_WITHIN_S", 0.2)
    start, end = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nx", b"x"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start)
    for _ in range(8):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        # The end of one body comes with the beginning of the next.
        writer.write(end + start)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert await reader.readexactly(1) == b"2"
    writer.close()


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


@pytest.mark.parametrize("asks", [True, False], ids=["that was asked", "that never asks"])
async def test_an_idle_connection_is_closed_without_a_word(asks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "KEEP_ALIVE_S", 0.05)
    with listen(20_000) as listener:
        server = WebServer(_echo, listener)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        if asks:
            writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == b"0"
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await server.stop()


async def _whole(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers by the extension, as the path asks: with good lines or with a line break in a header."""
    head = b"x-a: 1\r\nx-b: 2\r\n" if scope["path"] == "/good" else b"x-a: 1\r\nx-b: 2\r\nx-c: 3\r\n"
    head += b"content-length: 2\r\n"
    await send({"type": WHOLE, "status": 200, "head": head, "lines": 3, "body": b"ok"})


@pytest.mark.parametrize(
    ("request_head", "status", "body"),
    [
        (b"GET /good HTTP/1.1\r\n" + HOST + b"\r\n", b"200", b"ok"),
        (b"GET /good HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", b"200", b"ok"),
        (b"GET /good HTTP/1.0\r\n" + HOST + b"\r\n", b"200", b"ok"),
        (b"GET /bad HTTP/1.1\r\n" + HOST + b"\r\n", b"500", b"Internal Server Error"),
    ],
    ids=["as a rule", "closing", "of HTTP/1.0", "with a line too many"],
)
async def test_a_whole_answer(request_head: bytes, status: bytes, body: bytes) -> None:
    with listen(20_000) as listener:
        server = WebServer(_whole, listener)
        await server.start()
        answer = await _talk(port_of(listener), request_head)
        await server.stop()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"\r\n\r\n" + body)
    assert (b"x-b: 2" in answer) == (status == b"200")


async def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + b"x" * size for size in range(1, 6)
    ))  # fmt: skip
    for size in range(1, 6):
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert await reader.readexactly(1) == b"%d" % size
    writer.close()


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"


@pytest.mark.parametrize("trailers", [[b"x: " + b"a" * 40 + b"\r\n"] * 20_000, [b"x: "] + [b"a" * 50_000] * 20],
                         ids=["many fields", "one field without end"])  # fmt: skip
async def test_trailers_without_end_are_cut_off(port: int, trailers: list[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(CHUNKED)
    await writer.drain()
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(trailers), 100):
            writer.write(b"".join(trailers[at : at + 100]))
            await writer.drain()
    # Where the answer was lost with the connection, the connection is at least gone.
    with contextlib.suppress(ConnectionError):
        assert (await asyncio.wait_for(reader.readline(), 5)) in (
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
            b"",
        )
    writer.close()


async def test_a_trailer_is_no_header_and_small_chunks_pass(port: int) -> None:
    assert (await _talk(port, CHUNKED + b"Host: evil\r\n\r\n")).startswith(b"HTTP/1.1 200")
    head, chunk = CHUNKED.removesuffix(b"1\r\nx\r\n0\r\n"), b"1\r\nx\r\n"
    answer = await _talk(port, head, *[chunk * 1000] * 30, b"0\r\n\r\n")
    assert answer.endswith(b"30000")


@pytest.mark.parametrize(
    ("line", "coding"),
    [(b"HTTP/1.0", b"chunked"), (b"HTTP/1.1", b"gzip, chunked"), (b"HTTP/2.0", b"chunked"), (b"HTTP/2.0", b"")],
    ids=["chunked before HTTP/1.1", "two codings", "HTTP/2.0 chunked", "HTTP/2.0"],
)
async def test_what_two_servers_could_frame_differently_is_refused(port: int, line: bytes, coding: bytes) -> None:
    head = b"POST / %b\r\n" % line + HOST + (b"Transfer-Encoding: " + coding + b"\r\n" if coding else b"")
    assert (await _talk(port, head + b"\r\n1\r\nx\r\n0\r\n\r\n")).startswith(b"HTTP/1.1 400")


def test_the_date_is_that_of_now_though_the_server_was_stopped_meanwhile() -> None:
    """A server that goes on after a while has the date of before in its own headers."""
    before = SystemClock().now_ms() // 1000
    lines = default_lines([(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"), (b"x-other", b"1")])
    (now,) = [line.removeprefix(b"date: ") for line in lines.split(b"\r\n") if line.startswith(b"date: ")]
    assert before <= parsedate_to_datetime(now.decode()).timestamp() <= SystemClock().now_ms() / 1000
    assert lines.endswith(b"x-other: 1\r\n")


async def test_a_connection_that_was_opened_beforehand_waits_as_one_that_is_kept(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200")
    writer.close()
