"""The interface on a loopback port for a fuzzer: real HTTP, ports in memory, a client that may do everything."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from simulator.web import WebServer
from tests.contract.stage import Stage, staged

EVERY = (
    "jobs:submit", "jobs:read", "jobs:cancel", "jobs:outputs", "webhooks:manage", "jobs:admin", "billing:read",
)  # fmt: skip


class Target:
    """Where to send, and as whom."""

    def __init__(self) -> None:
        self.url, self.token = "", ""
        self.started, self.stopping = threading.Event(), threading.Event()
        self.errors: list[str] = []

    async def serve(self, listener: socket.socket, folder: Path) -> None:
        # Jobs run in this very loop here, so it may lag; that a late loop sheds load is tested where time is virtual.
        async with staged(folder, webhook_targets="loopback", prefer_wait_most_s=0, admission_lag_s=60.0) as stage:
            self.token = await self._client(stage)
            stage.platform.telemetry.log = self._log  # type: ignore[method-assign]
            server = WebServer(stage.app, listener, websockets=True)
            await server.start()
            self.started.set()
            await asyncio.to_thread(self.stopping.wait)
            await server.stop()

    async def _client(self, stage: Stage) -> str:
        return await stage.client(
            "fuzz", "enterprise", EVERY, requests_per_second=1_000_000, active_jobs=10**9, compute_units=10**14
        )

    def _log(self, level: str, message: str, **fields: object) -> None:
        if level in ("error", "critical"):
            self.errors.append(f"{message}: {fields}")


@contextlib.contextmanager
def running_target() -> Iterator[Target]:
    """A target in a thread of its own, ended at the end."""
    target = Target()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        target.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=lambda: asyncio.run(target.serve(listener, Path(folder))), daemon=True)
        thread.start()
        assert target.started.wait(20)
        try:
            yield target
        finally:
            target.stopping.set()
            thread.join(30)
