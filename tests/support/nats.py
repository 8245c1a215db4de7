"""A real nats-server with JetStream for tests: free loopback port, credentials in a file, stopped by pid."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

READY_WITHIN_S = 20.0
STOP_WITHIN_S = 10.0
USER = "zjops"
PASSWORD = "only-for-tests"

_CONFIG = """\
server_name: zjops-test
host: 127.0.0.1
port: {port}
log_file: "{folder}/nats.log"
authorization {{ user: "{user}", password: "{password}" }}
jetstream {{ store_dir: "{folder}/jetstream" }}
"""


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def eventually(condition: Callable[[], bool | Awaitable[bool]], within_s: float = 10.0) -> None:
    """Poll until the condition holds; fails the test after the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        outcome = condition()
        if await outcome if isinstance(outcome, Awaitable) else outcome:
            return
        assert time.monotonic() < deadline, f"still not true after {within_s} s"
        await asyncio.sleep(0.02)


class NatsServer:
    """One server process and its folder; it can be killed and started again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.user = USER
        self.password = PASSWORD
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start and return once JetStream answers; a port lost to somebody else is replaced the first time."""
        assert self._process is None, "the server is running already"
        for attempt in itertools.count():
            port = self.port or free_port()
            self._launch(port)
            if self._wait_ready(port):
                self.port = port
                return
            self.kill()
            if self.port or attempt >= 4:
                raise RuntimeError(f"nats-server did not start, see {self.folder}/nats.log")

    def _launch(self, port: int) -> None:
        config = self.folder / "nats.conf"
        text = _CONFIG.format(port=port, folder=self.folder, user=self.user, password=self.password)
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        binary = Path(sysconfig.get_path("scripts")) / "nats-server"
        self._process = subprocess.Popen([binary, "-c", config], stdin=subprocess.DEVNULL)

    def _wait_ready(self, port: int) -> bool:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            with contextlib.suppress(OSError):
                if self._answers(port):
                    return True
            time.sleep(0.02)
        return False

    def _answers(self, port: int) -> bool:
        """Connect with the credentials and ask JetStream who it is, in the plain protocol."""
        login = {"verbose": False, "user": self.user, "pass": self.password, "headers": True}
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link:
            link.sendall(f"CONNECT {json.dumps(login)}\r\nSUB probe 1\r\nPUB $JS.API.INFO probe 0\r\n\r\n".encode())
            received = b""
            while b'"api"' not in received:
                chunk = link.recv(65536)
                if not chunk or b"-ERR" in received:
                    return False
                received += chunk
        return True

    def kill(self) -> None:
        """`kill -9`, as a crash does it; safe when not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop in order; safe when not running."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Stop answering without closing a connection."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[NatsServer]:
    """A started server in that folder, stopped at the end whatever happens."""
    server = NatsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the whole session; tests keep apart by their stream names."""
    with running_server(tmp_path_factory.mktemp("nats")) as server:
        yield server
