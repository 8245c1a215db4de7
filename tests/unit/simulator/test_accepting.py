"""Connections are taken as many as wait, on both event loops: whoever waits is not kept waiting by others' work."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
import uvloop

from simulator import accepting, web
from simulator.accepting import AT_ONCE, Acceptor
from simulator.supervisor.ports import listen, port_of
from simulator.web import WebServer
from tests.support.nats import eventually

MANY = 300
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Greeter(asyncio.Protocol):
    """Says hello to whoever is taken, and counts them."""

    def __init__(self, taken: list[asyncio.Transport]) -> None:
        self._taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        found = cast(asyncio.Transport, transport)
        self._taken.append(found)
        found.write(b"hello")


class Listener:
    """A listening socket that fails as it is told to before it goes on."""

    def __init__(self, real: socket.socket, *failures: int) -> None:
        self._real, self._failures = real, list(failures)
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        if self._failures:
            raise OSError(self._failures.pop(0), "told to fail")
        return self._real.accept()


@pytest.fixture(params=LOOPS)
def play(request: pytest.FixtureRequest) -> Iterator[Callable[[Awaitable[Any]], Any]]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield lambda story: runner.run(cast(Any, story))


def _clients(listener: socket.socket, count: int) -> list[socket.socket]:
    """Connections that wait in the kernel to be taken."""
    return [socket.create_connection(("127.0.0.1", port_of(listener)), 10) for _ in range(count)]


def test_hundreds_are_taken_in_a_few_turns_of_a_busy_loop(play: Callable[[Any], Any]) -> None:
    async def story() -> int:
        taken: list[asyncio.Transport] = []
        with listen(20_000) as listener:
            clients = _clients(listener, MANY)
            loop, turns = asyncio.get_running_loop(), 0

            def busy() -> None:
                nonlocal turns
                turns += 1
                if len(taken) < MANY and turns < 10 * MANY:
                    loop.call_soon(busy)

            acceptor = Acceptor(listener, lambda: Greeter(taken))
            loop.call_soon(busy)
            await eventually(lambda: len(taken) == MANY)
            for client in clients:
                assert client.recv(5) == b"hello"
                client.close()
            acceptor.close()
            for transport in taken:
                transport.close()
        return turns

    assert play(story()) < MANY / 10, "not one a turn"


def test_no_more_than_its_part_is_taken_before_others_have_their_turn(play: Callable[[Any], Any]) -> None:
    async def story() -> None:
        taken: list[asyncio.Transport] = []
        with listen(20_000) as real:
            clients, listener = _clients(real, AT_ONCE + 10), Listener(real)
            acceptor = Acceptor(cast(socket.socket, listener), lambda: Greeter(taken))
            acceptor._accept()
            assert listener.asked == AT_ONCE
            await eventually(lambda: len(taken) == len(clients))
            acceptor.close()
            for one in (*taken, *clients):
                one.close()

    play(story())


def test_without_descriptors_it_rests_and_then_takes_whoever_waited(
    play: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "PAUSE_S", 0.05)

    async def story() -> None:
        taken: list[asyncio.Transport] = []
        with listen(20_000) as real:
            (client,), listener = _clients(real, 1), Listener(real, errno.EMFILE)
            acceptor = Acceptor(cast(socket.socket, listener), lambda: Greeter(taken))
            acceptor._accept()
            assert listener.asked == 1
            for _ in range(20):
                await asyncio.sleep(0)
            assert listener.asked == 1, "the listener reports it again and again, and nobody listens"
            await eventually(lambda: len(taken) == 1)
            assert client.recv(5) == b"hello"
            acceptor.close()
            for one in (*taken, client):
                one.close()

    play(story())
    assert [record.getMessage() for record in caplog.records if record.name == accepting.__name__] == [
        "no more connections can be taken for 0.05 s: told to fail"
    ]


def test_closed_while_it_rests_it_does_not_wake(play: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "PAUSE_S", 0.01)

    async def story() -> None:
        with listen(20_000) as real:
            (client,), listener = _clients(real, 1), Listener(real, errno.ENFILE)
            acceptor = Acceptor(cast(socket.socket, listener), asyncio.Protocol)
            acceptor._accept()
            assert listener.asked == 1
            acceptor.close()
            acceptor.close()
            await acceptor.wait_closed()
            await asyncio.sleep(0.03)
            assert listener.asked == 1
            client.close()

    play(story())


def test_one_that_went_away_before_it_was_taken_keeps_nobody_else_out(play: Callable[[Any], Any]) -> None:
    async def story() -> None:
        taken: list[asyncio.Transport] = []
        with listen(20_000) as real:
            clients = _clients(real, 3)
            listener = Listener(real, errno.ECONNABORTED, errno.EPERM)
            acceptor = Acceptor(cast(socket.socket, listener), lambda: Greeter(taken))
            await eventually(lambda: len(taken) == 3)
            acceptor.close()
            for one in (*taken, *clients):
                one.close()

    play(story())


def test_several_share_a_listener_and_each_connection_is_taken_once(play: Callable[[Any], Any]) -> None:
    async def story() -> None:
        taken: list[list[asyncio.Transport]] = [[], []]
        with listen(20_000) as listener, listener.dup() as other:
            acceptors = [
                Acceptor(listener, lambda: Greeter(taken[0])),
                Acceptor(other, lambda: Greeter(taken[1])),
            ]
            clients = _clients(listener, MANY)
            await eventually(lambda: sum(map(len, taken)) == MANY)
            acceptors[0].close()
            late = _clients(listener, 5)
            await eventually(lambda: sum(map(len, taken)) == MANY + 5)
            for client in (*clients, *late):
                assert client.recv(10) == b"hello"
                client.close()
            acceptors[1].close()
            for transport in (*taken[0], *taken[1]):
                transport.close()

    play(story())


def test_a_protocol_that_cannot_be_made_leaves_no_connection_open(play: Callable[[Any], Any]) -> None:
    async def story() -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))

        def broken() -> asyncio.Protocol:
            raise RuntimeError("broken")

        with listen(20_000) as listener:
            (client,) = _clients(listener, 1)
            acceptor = Acceptor(listener, broken)
            assert await asyncio.to_thread(client.recv, 1) == b""
            client.close()
            acceptor.close()
            await acceptor.wait_closed()
        await eventually(lambda: len(told) == 1)

    play(story())


def test_a_server_that_stops_tells_whoever_was_taken_last(
    play: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "STOP_WITHIN_S", 60)

    async def story() -> None:
        with listen(20_000) as listener:
            server = WebServer(cast(Any, None), listener)
            await server.start()
            await eventually(lambda: server._server.started)
            (client,) = _clients(listener, 1)
            # Taken, and not yet with its protocol when the server begins to stop.
            acceptor = cast(Acceptor, server._server.servers[0])
            acceptor._accept()
            assert acceptor._tasks
            assert not server._server.server_state.connections
            closing = asyncio.create_task(server._server.shutdown([]))
            assert await asyncio.to_thread(client.recv, 1) == b""
            client.close()
            await closing
            server._server.started = False
            await server.stop()

    play(story())
