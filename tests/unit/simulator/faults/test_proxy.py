"""The proxy before a part: bytes pass whole and in order, late, reset or not at all, as the conditions say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from simulator.faults.proxy import Conditions, TcpProxy
from simulator.supervisor import ports
from zjops.domain.clock import SystemClock


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[1]
    made = TcpProxy(ports.listen(42_000), target, SystemClock(), seed=5)
    await made.start()
    yield made
    await made.stop()
    server.close()


async def _sent(port: int, data: bytes) -> bytes:
    """What comes back for bytes that are sent, to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    try:
        back, _ = await asyncio.gather(reader.read(-1), send())
        return back
    finally:
        writer.close()


@pytest.mark.parametrize(
    "faults",
    [{}, {"link.delay": {"ms": 5.0, "jitter_ms": 5.0}}, {"link.hold": {"ms": 10.0, "share": 0.3}}],
    ids=["nothing", "delay", "hold"],
)
async def test_bytes_pass_whole_and_in_order(proxy: TcpProxy, faults: dict[str, dict[str, float]]) -> None:
    proxy.conditions.faults = faults
    data = bytes(range(256)) * 8_000
    assert await _sent(proxy.port, data) == data


async def test_connections_are_reset_and_new_ones_are_carried(proxy: TcpProxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
    assert await _sent(proxy.port, b"again") == b"again"


async def test_a_cut_link_carries_nothing(proxy: TcpProxy) -> None:
    proxy.conditions.faults = {"link.cut": {}}
    with contextlib.suppress(OSError):
        assert await _sent(proxy.port, b"hello") == b""
    proxy.conditions.faults = {}
    assert await _sent(proxy.port, b"hello") == b"hello"


async def test_a_part_that_is_not_there_ends_the_connection() -> None:
    proxy = TcpProxy(ports.listen(42_100), ports.free(42_200), SystemClock())
    await proxy.start()
    try:
        assert await _sent(proxy.port, b"") == b""
    finally:
        await proxy.stop()
        await proxy.stop()


def test_what_is_held_back_is_as_long_and_as_often_as_was_said() -> None:
    link = Conditions(seed=2)
    assert link.wait_s() == 0
    link.faults = {"link.delay": {"ms": 500.0, "jitter_ms": 100.0}}
    waits = [link.wait_s() for _ in range(1_000)]
    assert 0.4 <= min(waits) < 0.41 < 0.59 < max(waits) <= 0.6
    link.faults = {"link.hold": {"ms": 200.0, "share": 0.1}}
    held = [link.wait_s() for _ in range(2_000)]
    assert set(held) == {0.0, 0.2}
    assert 150 < held.count(0.2) < 250
