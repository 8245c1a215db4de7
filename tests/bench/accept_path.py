"""`make bench`: what accepting a job costs, against a bare FastAPI route with the same validation, in one run.

Both run in a process of their own on loopback and are loaded in turn, in many short rounds, by the same closed-loop
client, so that a machine whose speed drifts slows both alike; what counts is requests per processor second of the
server process, and the median of the rounds' ratios. The
platform's route has everything on: token, buckets, headers, idempotency, quota, store with synchronous=FULL, outbox.
The relay is another process and does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

BODY = json.dumps({
    "jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "duration_ms": 0, "result_bytes": 0},
    "metadata": {"note": "x" * 80},
}).encode()  # fmt: skip
BAR = 0.65


def serve_bare(listener: socket.socket, ready: Connection) -> None:
    """FastAPI, one route, the same parsing and checks, and nothing else."""
    import uvloop

    from simulator.api.strictjson import decode
    from simulator.intake.parsing import submission_of
    from simulator.worker.handlers import validate
    from zjops.domain.ids import parse_uuid4

    app = FastAPI(openapi_url=None)

    @app.post("/v1/jobs", status_code=202)
    async def submit(request: Request) -> Response:
        parse_uuid4(request.headers["idempotency-key"])
        request_model = submission_of(decode(await request.body()), validate)
        body = json.dumps({"jobId": "job_1", "status": "pending", "jobType": request_model.job_type.value})
        return Response(body, 202, {"Location": "/v1/jobs/job_1"}, "application/json")

    async def main() -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, backlog=4096, ws="none")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]))
        ready.send("")
        await asyncio.get_running_loop().run_in_executor(None, ready.recv)
        server.should_exit = True
        await running

    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())


def serve_platform(listener: socket.socket, ready: Connection) -> None:
    """The platform's API process on a SQLite file, without the relay."""
    import uvloop

    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_platform(listener, ready))


async def _platform(listener: socket.socket, ready: Connection) -> None:
    from simulator.blobs.memory import MemoryBlobs
    from simulator.broker.memory import MemoryBroker
    from simulator.chain.memory import MemoryChain
    from simulator.config import Settings
    from simulator.identity.clients import SCOPES, store_client
    from simulator.platform import Platform, Ports
    from simulator.service import OFTEN, settle_memory
    from simulator.store.sqlite import SqliteStore
    from simulator.telemetry import Telemetry
    from simulator.web import WebServer
    from simulator.worker.slots import InlineSlots
    from zjops.domain.clock import SystemClock
    from zjops.domain.ids import SystemIds

    clock = SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        ports = Ports(
            store=SqliteStore(Path(folder) / "store.sqlite"), broker=MemoryBroker(clock), blobs=MemoryBlobs(),
            slots=InlineSlots(), clock=clock, chain=MemoryChain(clock, chain_id=31338, block_time_s=1),
            ids=SystemIds(clock), offload=asyncio.to_thread,
        )  # fmt: skip
        platform = Platform(ports, Settings(), Telemetry("api", clock, stream=None), Path(folder), "bench", ["api"])
        await platform.start()
        await platform.add_tenant(
            "bench", "enterprise", requests_per_second=1_000_000, active_jobs=10**9, compute_units=10**12
        )
        await ports.store.transact(lambda tx: store_client(
            tx, ports.ids, client_id="bench", secret="bench", tenant="bench", scopes=SCOPES, now=1
        ))  # fmt: skip
        interface = await platform.api(f"http://127.0.0.1:{listener.getsockname()[1]}", chain=lambda: None)
        token = await interface.deps.issuer.token(None, {
            "grant_type": "client_credentials", "client_id": "bench", "client_secret": "bench"
        })  # fmt: skip
        await interface.start()
        server = WebServer(interface.app, listener, websockets=True)
        await server.start()
        settle_memory(OFTEN)
        ready.send(token.access_token)
        await asyncio.get_running_loop().run_in_executor(None, ready.recv)
        await server.stop()
        await interface.stop()
        await platform.stop()


class _Client(asyncio.Protocol):
    """One connection that sends the next request as soon as the answer is there."""

    def __init__(self, head: bytes, left: list[int], done: asyncio.Future[None], wrong: list[bytes]) -> None:
        self._head, self._left, self._done, self._wrong = head, left, done, wrong
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        import uuid

        if self._left[0] <= 0:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left[0] -= 1
        self._transport.write(self._head + f"idempotency-key: {uuid.uuid4()}\r\n\r\n".encode() + BODY)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self._buffer.lower().find(b"content-length: ") + 16
        size = int(self._buffer[at : self._buffer.index(b"\r\n", at)])
        if len(self._buffer) < end + 4 + size:
            return
        if not self._buffer.startswith(b"HTTP/1.1 202"):
            self._wrong.append(self._buffer[:200])
        self._buffer = self._buffer[end + 4 + size :]
        self._next()


async def _load(port: int, token: str, requests: int, connections: int) -> None:
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(BODY)}\r\n"
    ).encode()
    loop, left, wrong = asyncio.get_running_loop(), [requests], []
    dones = [loop.create_future() for _ in range(connections)]
    for done in dones:
        await loop.create_connection(lambda d=done: _Client(head, left, d, wrong), "127.0.0.1", port)
    await asyncio.gather(*dones)
    if wrong:
        raise SystemExit(f"not accepted: {wrong[0]!r}")


class Server:
    """A server process with its processor time."""

    def __init__(self, target: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self._listener.getsockname()[1]
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(self._listener, theirs), daemon=True)
        self._process.start()
        self.token = self._ours.recv()
        assert self._process.pid is not None
        self._stats = psutil.Process(self._process.pid)

    def seconds(self) -> float:
        """Processor seconds of all threads so far: to the nanosecond where the system tells, else to the tick."""
        tasks = list(Path(f"/proc/{self._stats.pid}/task").glob("*/schedstat"))
        if tasks:
            return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
        times = self._stats.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it."""
        self._ours.send("")
        self._process.join(20)

    def measure(self, requests: int, connections: int) -> float:
        """Requests per processor second of a round."""
        before = self.seconds()
        asyncio.run(_load(self.port, self.token, requests, connections))
        return requests / (self.seconds() - before)


def main() -> None:
    """Print both figures of each round, their ratio, and the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--connections", type=int, default=128)
    asked = parser.parse_args()
    bare, platform = Server(serve_bare), Server(serve_platform)
    for server in (bare, platform):
        server.measure(2 * asked.requests, asked.connections)
    ratios = []
    for number in range(1, asked.rounds + 1):
        one, two = (server.measure(asked.requests, asked.connections) for server in (bare, platform))
        ratios.append(two / one)
        print(f"round {number:2}: bare {one:6,.0f}, platform {two:6,.0f} a processor second, ratio {two / one:.3f}")
    for server in (bare, platform):
        server.stop()
    ratio = statistics.median(ratios)
    verdict = "holds" if ratio >= BAR else "is missed"
    print(f"ratio {ratio:.3f} (median of {asked.rounds}); the bar of {BAR} {verdict}")
    raise SystemExit(0 if ratio >= BAR else 1)


if __name__ == "__main__":
    main()
