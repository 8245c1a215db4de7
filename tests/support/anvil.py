"""The real anvil as a process for tests: started as the supervisor starts it, with accounts that have money."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from simulator.chain.anvil import fund
from simulator.chain.keys import ensure_keys
from simulator.config import Settings
from simulator.supervisor.anvil import anvil_binary, anvil_spec
from simulator.supervisor.ports import free
from simulator.supervisor.readiness import rpc_ready
from tests.support.devnet import CHAIN_ID, READY_WITHIN_S
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UsageError
from zjops.domain.ids import SystemIds


def _apart(work: Coroutine[Any, Any, Any]) -> Any:
    """Run on a loop of its own, in a thread: the fixture may be made while a test's loop runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


class AnvilProcess:
    """Anvil on a folder of its own; the tests that need it are skipped where it is not installed."""

    def __init__(self, home: Path, block_time_s: float = 0.1) -> None:
        try:
            anvil_binary()
        except UsageError as exc:
            pytest.skip(str(exc))
        self.home, self.keys = home, ensure_keys(home, SystemIds(SystemClock()))
        self._port = free(29_545)
        self.url = f"http://127.0.0.1:{self._port}"
        self._settings = Settings(chain="anvil", chain_id=CHAIN_ID, block_time_s=block_time_s)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and return when it answers and the accounts have money."""
        spec = anvil_spec(self.home, self._settings, self._port)
        self._process = subprocess.Popen(spec.argv, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_WITHIN_S
        while not _apart(rpc_ready(self._port, CHAIN_ID)):
            assert self._process.poll() is None, f"anvil ended with {self._process.returncode}"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        _apart(fund(self.url, [self.keys.admin_address, self.keys.operator_address], SystemClock()))

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order; safe twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)
