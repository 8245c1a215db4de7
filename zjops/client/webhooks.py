"""Webhook endpoints of a tenant, and a receiver for tests and demonstrations on loopback."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from zjops.client.http import Http, decode
from zjops.domain.clock import SystemClock
from zjops.domain.webhooks import faults
from zjops.domain.wire_webhooks import DeliveryPage, EndpointCreate, EndpointCreated, EndpointList, SecretView

BASE = "/v1/webhooks"
Fail = Literal["500", "hang", "tamper"]
BODY_MOST = 1_000_000
HANG_S = 60.0


class Webhooks:
    """What a tenant does with webhooks."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def endpoints(self) -> EndpointList:
        """All endpoints."""
        found: EndpointList = self._http.get(f"{BASE}/endpoints", EndpointList)
        return found

    def create(self, asked: EndpointCreate) -> EndpointCreated:
        """A new endpoint with its secret."""
        headers = {"Content-Type": "application/json"}
        sent = self._http.request("POST", f"{BASE}/endpoints", content=msgspec.json.encode(asked), headers=headers)
        made: EndpointCreated = decode(sent.content, EndpointCreated)
        return made

    def delete(self, endpoint_id: str) -> None:
        """Take an endpoint away."""
        self._http.request("DELETE", f"{BASE}/endpoints/{endpoint_id}")

    def rotate(self, endpoint_id: str) -> SecretView:
        """A new secret; the former one signs beside it for a day."""
        sent = self._http.request("POST", f"{BASE}/endpoints/{endpoint_id}/secret/rotate")
        found: SecretView = decode(sent.content, SecretView)
        return found

    def deliveries(self, **filters: Any) -> DeliveryPage:
        """The log of deliveries."""
        params = {name: value for name, value in filters.items() if value is not None}
        found: DeliveryPage = self._http.get(f"{BASE}/deliveries", DeliveryPage, params=params)
        return found

    def redeliver(self, delivery_id: str) -> None:
        """Deliver once more."""
        self._http.request("POST", f"{BASE}/deliveries/{delivery_id}/redeliver")


class Received(NamedTuple):
    """One delivery as it came: its headers in lower case, its body, and what is wrong with its signatures."""

    headers: dict[str, str]
    body: bytes
    faults: list[str]
    answered: int


class Receiver:
    """An HTTP server on loopback that checks both signatures of whatever is posted to it."""

    def __init__(self, heard: Callable[[Received], None], *, port: int = 0, fail: Fail | None = None) -> None:
        self.secret = ""
        self._heard, self._fail, self._clock = heard, fail, SystemClock()
        self._released = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _receive(self, headers: dict[str, str], body: bytes) -> int:
        """Answer one delivery; `tamper` spoils the body first, as somebody between the two would."""
        if self._fail == "hang":
            self._released.wait(HANG_S)
        if self._fail == "tamper":
            body = body.replace(b"completed", b"c0mpleted") + b" "
        wrong = faults(self.secret, headers, body, self._clock.now_ms() // 1000)
        answered = 500 if self._fail == "500" else 400 if wrong else 204
        self._heard(Received(headers, body, wrong, answered))
        return answered

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receive = self._receive

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = min(int(self.headers.get("content-length") or 0), BODY_MOST)
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receive(headers, self.rfile.read(size))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler
