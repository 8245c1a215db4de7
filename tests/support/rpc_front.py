"""A JSON-RPC endpoint in front of a real node that does what endpoints do on bad days: down, slow, 429, stale, forked.

It also has the limits of public ones: no logs of long ranges, no states of old blocks.

It stands on loopback and forwards to the node of a home, which need not run yet.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zjops.domain.merkle import keccak256
from zjops.domain.runfile import read_run_file

WITHIN_S = 10
SEND = "eth_sendRawTransaction"


@dataclass(frozen=True)
class TooLong:
    """How an endpoint refuses the logs of more than `most` blocks."""

    most: int
    error: dict[str, Any]
    status: int = 200


class RpcFront:
    """The endpoint. Faults are attributes; `heal` takes them all away."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.heal()
        self.sent: list[str] = []
        self.ranges: list[tuple[int, int]] = []
        self.tags: list[str] = []
        self.asked = 0
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body leave together: apart, each answer waits for the reader's delayed acknowledgement.
            wbufsize = 65_536

            def do_POST(self) -> None:
                front.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def heal(self) -> None:
        """Be a good endpoint again."""
        self.down, self.status, self.slow_s = False, 0, 0.0
        self.stale, self.forked_from = 0, 0
        self.answers: dict[str, Any] = {}
        self.base_fee: int | None = None
        self.too_long: TooLong | None = None
        self.pruned_before = 0
        self.on_send: Callable[[str], bool] | None = None

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One request: as the faults have it."""
        asked = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.asked += 1
        if self.slow_s:
            time.sleep(self.slow_s)
        if self.down:
            handler.close_connection = True
            return
        if self.status:
            handler.send_error(self.status)
            return
        said = self._limits(asked) or self._reply(asked)
        if said is None:
            handler.close_connection = True
            return
        status = self.too_long.status if self.too_long and said.get("error") == self.too_long.error else 200
        body = json.dumps(said).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _limits(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What a public node refuses, as it says it."""
        params, frame = asked.get("params", []), {"jsonrpc": "2.0", "id": asked["id"]}
        if asked["method"] == "eth_getLogs" and self.too_long is not None:
            first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
            self.ranges.append((first, last))
            return frame | {"error": self.too_long.error} if last - first + 1 > self.too_long.most else None
        numbers = [int(p, 16) for p in params[1:2] if isinstance(p, str) and p.startswith("0x")]
        if asked["method"] in ("eth_getCode", "eth_call") and numbers and numbers[0] < self.pruned_before:
            return frame | {
                "error": {"code": -32000, "message": "missing trie node 5b0a (path ) state is not available"}
            }
        return None

    def _reply(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        method, params = asked["method"], asked.get("params", [])
        frame = {"jsonrpc": "2.0", "id": asked["id"]}
        if method == "eth_getBlockByNumber":
            self.tags.append(params[0])
        if method in self.answers:
            return frame | {"result": self.answers[method]}
        if method == SEND:
            tx_hash = "0x" + keccak256(bytes.fromhex(params[0][2:])).hex()
            self.sent.append(tx_hash)
            if self.on_send is not None and not self.on_send(params[0]):
                return None
        return frame | self._seen(method, self.node(method, *self._aged(method, params)))

    def _aged(self, method: str, params: list[Any]) -> list[Any]:
        """The parameters, with a stale node's idea of what is newest."""
        if not self.stale:
            return params
        limit = hex(self.head() - self.stale)
        return [limit if value in ("latest", "pending") else value for value in params]

    def _seen(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        found = said.get("result")
        if isinstance(found, dict):
            number = found.get("number") or found.get("blockNumber")
            if self.stale and number and int(number, 16) > self.head() - self.stale:
                return {"result": None}
            if method.startswith("eth_getBlockBy"):
                self._spoil(found)
        return {key: said[key] for key in ("result", "error") if key in said}

    def _spoil(self, block: dict[str, Any]) -> None:
        if self.base_fee is not None:
            block["baseFeePerGas"] = hex(self.base_fee)
        # Two nodes in turn: every other answer comes from a fork.
        number = int(block["number"], 16)
        if self.forked_from and number >= self.forked_from and self.asked % 2:
            block["hash"] = "0x" + f"{number:064x}"
            if number > self.forked_from:
                block["parentHash"] = "0x" + f"{number - 1:064x}"

    def node(self, method: str, *params: Any) -> dict[str, Any]:
        """What the node itself says."""
        parts = urlsplit(read_run_file(self.home).rpc_url)
        link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WITHIN_S)
        try:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
            link.request("POST", "/", body, {"Content-Type": "application/json"})
            said: dict[str, Any] = json.loads(link.getresponse().read())
            return said
        except OSError as exc:
            return {"error": {"code": -32000, "message": f"upstream: {exc}"}}
        finally:
            link.close()

    def head(self) -> int:
        """The true newest block."""
        return int(self.node("eth_blockNumber")["result"], 16)


@contextmanager
def running_front(home: Path) -> Iterator[RpcFront]:
    """A front that is closed at the end."""
    front = RpcFront(home)
    try:
        yield front
    finally:
        front.close()
