"""Probes: is it there and does it say that it is ready. Nothing is ever slept for."""

from __future__ import annotations

import asyncio

from simulator.supervisor.ports import HOST

ANSWER_WITHIN_S = 2.0


async def http_ready(port: int, path: str = "/readyz") -> bool:
    """Whether a loopback server answers 200."""
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode()
    return (await _exchange(port, request)).startswith(b"HTTP/1.1 200")


async def rpc_ready(port: int, chain_id: int) -> bool:
    """Whether a JSON-RPC node answers, and is that chain."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
    head = f"POST / HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return f'"{hex(chain_id)}"'.encode() in await _exchange(port, request, whole=True)


async def nats_ready(port: int) -> bool:
    """Whether a NATS server greets with JetStream on."""
    greeting = await _exchange(port, b"")
    return greeting.startswith(b"INFO ") and b'"jetstream":true' in greeting.replace(b" ", b"")[:4096]


async def _exchange(port: int, request: bytes, whole: bool = False) -> bytes:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                if request:
                    writer.write(request)
                return await (reader.read() if whole else reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return b""
