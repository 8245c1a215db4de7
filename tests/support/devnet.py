"""The devnet as a process of its own for tests: killed and started again on the same folder and port."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from eth_account import Account

from simulator.chain.keys import Keys, ensure_keys
from simulator.supervisor.ports import listen, port_of
from zjops.domain.clock import SystemClock
from zjops.domain.ids import SystemIds
from zjops.domain.runfile import ClientEntry, RunFile, write_run_file

CHAIN_ID = 31338
READY_WITHIN_S = 30.0


class DevnetProcess:
    """A role process that hosts the chain alone, as the supervisor starts it."""

    def __init__(self, home: Path, block_time_s: float = 0.1, *, clock_offset_s: int = 0) -> None:
        self.home = home
        self.listener: socket.socket = listen(28_545)
        self.url = f"http://127.0.0.1:{port_of(self.listener)}"
        self.keys: Keys = ensure_keys(home, SystemIds(SystemClock()))
        settings = {"block_time_s": block_time_s, "chain_id": CHAIN_ID, "chain_clock_offset_s": clock_offset_s}
        (home / "settings.json").write_text(json.dumps(settings))
        self._write_run_file()
        self._process: subprocess.Popen[bytes] | None = None

    def _write_run_file(self) -> None:
        nobody = ClientEntry(tenant="-", plan="free", client_id="-", client_secret="-", scopes=[])
        write_run_file(
            self.home,
            RunFile(
                run_id="test", home=str(self.home), started_at_ms=0, supervisor_pid=os.getpid(),
                supervisor_started_at=0.0, api_url="", issuer="", token_url="", control_url="", control_token="",
                nats_url="", nats_user="", nats_password="", rpc_url=self.url, chain_id=CHAIN_ID, log_dir="",
                operator=nobody,
            ),
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and return when blocks are made."""
        argv = [sys.executable, "-m", "simulator", "role", "chain", "--roles", "chain", "--home", str(self.home),
                "--parent", str(os.getpid()), "--fd", str(self.listener.fileno())]  # fmt: skip
        self._process = subprocess.Popen(argv, pass_fds=[self.listener.fileno()], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._ready():
            assert self._process.poll() is None, f"the devnet ended with {self._process.returncode}"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> None:
        """End it in order; it can be started again. Safe twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)

    def stop(self) -> None:
        """End it in order and give up its port; safe twice."""
        self.terminate()
        self.listener.close()

    def raw(self, body: bytes) -> Any:
        """Send bytes as they are."""
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def ask(self, method: str, *params: Any) -> Any:
        """A method's result; fails the test on an error."""
        answer = self.raw(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, method: str, *params: Any) -> dict[str, Any]:
        """A method's error; fails the test on a result."""
        answer = self.raw(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())
        error: dict[str, Any] = answer["error"]
        return error


def signed(node: DevnetProcess, nonce: int, **fields: Any) -> str:
    """A transaction of the admin's account, a small transfer unless said otherwise, as raw hex."""
    base = {"to": "0x" + "22" * 20, "value": 7, "gas": 21_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
            "nonce": nonce, "chainId": CHAIN_ID, "type": 2}  # fmt: skip
    wanted = {name: value for name, value in (base | fields).items() if value is not None}
    raw = Account.sign_transaction(wanted, node.keys.admin).raw_transaction
    return "0x" + raw.hex().removeprefix("0x")
