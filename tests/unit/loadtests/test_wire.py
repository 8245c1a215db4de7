"""The connection: answers as they come off a wire, whole, in pieces, in chunks, late or never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

gevent = pytest.importorskip("gevent")

from gevent.server import StreamServer  # noqa: E402

from loadtests.wire import Broken, Target, TimedOut, Wire  # noqa: E402
from zjops.domain.clock import SystemClock  # noqa: E402

now = SystemClock().monotonic
OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\n"
Serve = Callable[[Any, int], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Serve], Wire]]:
    """A server whose connections are handled by a function that gets the socket and the connection's number."""
    servers: list[StreamServer] = []
    wires: list[Wire] = []

    def start(handle: Serve) -> Wire:
        numbers = iter(range(1_000))
        server = StreamServer(("127.0.0.1", 0), lambda socket, _: handle(socket, next(numbers)))
        server.start()
        servers.append(server)
        wires.append(Wire(Target.of(f"http://127.0.0.1:{server.server_port}"), now))
        return wires[-1]

    yield start
    for wire in wires:
        wire.close()
    for server in servers:
        server.stop(timeout=1)


def ask(wire: Wire, within_s: float = 2.0) -> tuple[int, bytes]:
    answer = wire.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", now() + within_s)
    return answer.status, answer.body


def always(*pieces: bytes) -> Serve:
    def handle(socket: Any, _: int) -> None:
        while socket.recv(65_536):
            for piece in pieces:
                socket.sendall(piece)
                gevent.sleep(0)

    return handle


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        pytest.param([OK], b"hello", id="whole"),
        pytest.param([OK[:3], OK[3:30], OK[30:47], OK[47:]], b"hello", id="in pieces"),
        pytest.param([CHUNKED + b"3\r\nhel\r\n2;q=1\r\nlo\r\n0\r\n\r\n"], b"hello", id="in chunks"),
        pytest.param([CHUNKED + b"3\r", b"\nhel\r\n2\r\nl", b"o\r\n0\r\n\r\n"], b"hello", id="in chunks cut anywhere"),
        pytest.param([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", id="with no body"),
    ],
)  # fmt: skip
def test_an_answer(serve: Callable[[Serve], Wire], pieces: list[bytes], body: bytes) -> None:
    wire = serve(always(*pieces))
    assert [ask(wire)[1] for _ in range(3)] == [body] * 3


def test_a_kept_connection_is_used_again(serve: Callable[[Serve], Wire]) -> None:
    opened: list[int] = []

    def handle(socket: Any, number: int) -> None:
        opened.append(number)
        always(OK)(socket, number)

    wire = serve(handle)
    assert [ask(wire)[0] for _ in range(4)] == [202] * 4
    assert opened == [0]


def test_a_connection_that_was_opened_beforehand_is_used(serve: Callable[[Serve], Wire]) -> None:
    opened: list[int] = []

    def handle(socket: Any, number: int) -> None:
        opened.append(number)
        always(OK)(socket, number)

    wire = serve(handle)
    wire.open(2.0)
    gevent.sleep(0.05)
    assert opened == [0]
    assert ask(wire) == (202, b"hello")
    assert opened == [0]


def test_one_that_cannot_be_opened_beforehand_fails_when_it_is_needed() -> None:
    wire = Wire(Target.of("http://127.0.0.1:1"), now)
    wire.open(2.0)
    with pytest.raises(Broken):
        ask(wire)


def test_a_request_that_is_larger_than_the_buffers_arrives_whole(serve: Callable[[Serve], Wire]) -> None:
    sent, come = bytes(range(256)) * 40_000, bytearray()

    def handle(socket: Any, _: int) -> None:
        while len(come) < len(sent):
            come.extend(socket.recv(65_536))
            gevent.sleep(0)
        socket.sendall(OK)

    assert serve(handle).exchange(sent, now() + 20).body == b"hello"
    assert come == sent


def test_a_connection_that_was_closed_meanwhile_is_opened_anew_once(serve: Callable[[Serve], Wire]) -> None:
    def handle(socket: Any, number: int) -> None:
        socket.recv(65_536)
        socket.sendall(OK)
        socket.close()

    wire = serve(handle)
    assert ask(wire) == (202, b"hello")
    gevent.sleep(0.01)
    assert ask(wire) == (202, b"hello")


def test_a_server_that_says_close_is_taken_at_its_word(serve: Callable[[Serve], Wire]) -> None:
    opened: list[int] = []

    def handle(socket: Any, number: int) -> None:
        opened.append(number)
        socket.recv(65_536)
        socket.sendall(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    wire = serve(handle)
    assert [ask(wire)[0], ask(wire)[0]] == [202, 202]
    assert opened == [0, 1]


def test_an_answer_that_does_not_come_in_time(serve: Callable[[Serve], Wire]) -> None:
    wire = serve(lambda socket, _: socket.recv(1) and gevent.sleep(5))
    with pytest.raises(TimedOut):
        ask(wire, within_s=0.05)


def test_what_came_too_late_is_not_taken_for_the_next_answer(serve: Callable[[Serve], Wire]) -> None:
    def handle(socket: Any, number: int) -> None:
        socket.recv(65_536)
        if number == 0:
            gevent.sleep(0.1)
        socket.sendall(OK.replace(b"hello", f"no. {number}".encode()))

    wire = serve(handle)
    with pytest.raises(TimedOut):
        ask(wire, within_s=0.02)
    gevent.sleep(0.15)
    assert ask(wire) == (202, b"no. 1")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing at all"), pytest.param(OK[:-2], id="half a body"),
        pytest.param(b"SSH-2.0-x\r\n\r\n", id="no HTTP"), pytest.param(b"HTTP/1.1 200 x\r\n\r\nhello", id="no length"),
        pytest.param(b"HTTP/1.1 200 x\r\ncontent-length: many\r\n\r\n", id="a length that is no number"),
        pytest.param(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", id="a chunk with no size"),
    ],
)  # fmt: skip
def test_what_is_no_answer(serve: Callable[[Serve], Wire], sent: bytes) -> None:
    def handle(socket: Any, _: int) -> None:
        socket.recv(65_536)
        socket.sendall(sent)

    with pytest.raises(Broken):
        ask(serve(handle))


def test_nobody_listens() -> None:
    with pytest.raises(Broken):
        ask(Wire(Target.of("http://127.0.0.1:9"), now))


def test_a_stream_is_read_as_it_comes(serve: Callable[[Serve], Wire]) -> None:
    def handle(socket: Any, _: int) -> None:
        socket.recv(65_536)
        socket.sendall(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"one", b"three"):
            socket.sendall(f"{len(word):x}\r\n".encode() + word + b"\r\n")
            gevent.sleep(0)
        socket.sendall(b"0\r\n\r\n")

    answer, parts = serve(handle).stream(b"GET / HTTP/1.1\r\n\r\n", now() + 2, 2)
    assert (answer.status, list(parts)) == (200, [b"one", b"three"])
