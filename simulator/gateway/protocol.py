"""HTTP limits below the application: size of the head, time for head and body, and a Host.

The server itself accepts headers without end, waits for slow bodies for ever, and asks for no Host; measured before
this existed. A refused request gets its status and a problem document, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import enum
import urllib.parse
from collections.abc import Callable
from typing import Any, cast

import httptools
import msgspec
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.gateway.context import LATE, SEAT, Seat
from simulator.gateway.cycle import STATUS_LINES, Pairs, QuickCycle, default_lines
from simulator.gateway.exchange import WHOLE
from zjops.domain.errors import Problem

HEAD_BYTES = 32_768
HEAD_WITHIN_S = 10.0
BODY_PROGRESS_WITHIN_S = 10.0
BODY_WITHIN_S, BODY_BYTES_PER_S = 20.0, 1_000
"""How long a body may take: so long, and a second more for each so many bytes that have come."""
END_OF_HEAD = b"\r\n\r\n"
EXTENSIONS: dict[str, dict[object, object]] = {WHOLE: {}}


Refusal = Callable[[Scope, Pairs], bytes | None]
FRAMING_PER_BYTE = 8
"""How much a chunked body may hold besides each byte of data: a chunk of one byte has five."""


class Phase(enum.Enum):
    """What a connection waits for."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()


IDLE, HEAD, BODY, ANSWER = Phase


class LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits: 431 for a head over 32 kB, 408 for what comes too slowly, 400 without a Host."""

    def __init__(self, *args: Any, refusal: Refusal | None = None, **kwargs: Any) -> None:
        """`refusal` may end a request when its head is there: the rest of an answer 503, or None."""
        super().__init__(*args, **kwargs)
        self._refusal, self._ended_by = refusal, b""
        self._phase, self._waited_for = IDLE, IDLE
        self._head_bytes = self._framing_bytes = self._body_bytes = 0
        self._body_since = 0.0
        self._tail = b""
        self._refused = False
        self._watch: asyncio.TimerHandle | None = None
        self._deadline: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        # One that was opened beforehand waits as one that is kept. A 408 to it would be taken for the answer to what
        # its client sends a moment later.
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if (self._phase is HEAD or self._phase is IDLE) and self._measure_head(data) > HEAD_BYTES:
            self._refuse(Problem("headers-too-large", f"The head of a request may hold {HEAD_BYTES} bytes."))
            return
        if self._phase is BODY:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self._phase is HEAD and not self._head_bytes:
            # The next head begins in what came with the one before.
            self._tail = data[-3:]
        if self._framing_bytes > HEAD_BYTES + FRAMING_PER_BYTE * self._body_bytes and self._phase is BODY:
            self._refuse(Problem("headers-too-large", "The body comes with more framing or trailers than data."))
        if not self._refused:
            self._wait()

    def _wait(self) -> None:
        """From now on what the phase waits for must come in its time; a head has one time for all of it."""
        phase = self._phase
        if phase is BODY:
            self._wait_for_body()
        elif phase is not self._waited_for:
            self._expect(HEAD_WITHIN_S if phase is HEAD else None)
        self._waited_for = phase

    def _wait_for_body(self) -> None:
        """A body may neither stop nor come a little at a time for ever."""
        now = self.loop.time()
        if not self._body_since:
            self._body_since = now
            if not self._ended_by:
                self._come_late()
        until = self._body_since + BODY_WITHIN_S + self._body_bytes / BODY_BYTES_PER_S
        self._expect(min(BODY_PROGRESS_WITHIN_S, until - now))

    def _come_late(self) -> None:
        """The body did not come with the head: no seat is kept for it meanwhile. The application has not begun yet."""
        scope = cast(Scope, self.scope)
        scope[LATE] = True
        seat: Seat | None = scope.pop(SEAT, None)
        if seat is not None:
            seat.forgo()

    def _measure_head(self, data: bytes) -> int:
        """How long the head is so far; what follows its empty line does not count."""
        if not self._head_bytes and not self._tail and (end := data.find(END_OF_HEAD)) >= 0:
            # As a rule all of it comes at once.
            return end
        end = (self._tail + data if self._tail else data).find(END_OF_HEAD)
        size = self._head_bytes + (len(data) if end < 0 else max(0, end - len(self._tail)))
        self._head_bytes += len(data)
        self._tail = (self._tail + data[-3:])[-3:]
        return size

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = HEAD

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes after the head is a trailer: nothing here reads one, so none is kept.
        if self._phase is HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._refused:
            # What stands behind a request that was refused is not looked at: the connection is closed.
            return
        self._phase, self._head_bytes, self._tail = BODY, 0, b""
        self._framing_bytes = self._body_bytes = 0
        self._body_since = 0.0
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        why = _misframed(self.headers, version)
        if why:
            self._refuse(Problem("malformed-request", why))
            return
        scope["method"], scope["http_version"] = parser.get_method().decode("ascii"), version
        scope["extensions"] = EXTENSIONS
        if parser.should_upgrade() and self._should_upgrade():
            return
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = url.path, url.query or b""
        keep_alive = version != "1.0" and parser.should_keep_alive()
        if keep_alive and self._ends_at_the_door():
            return
        self._answer(QuickCycle(
            scope, self.transport, self.flow, self.logger, self.access_logger, self.access_log,
            self.server_state.default_headers, asyncio.Event(), self.expect_100_continue,
            keep_alive, self.on_response_complete,
        ))  # fmt: skip

    def _ends_at_the_door(self) -> bool:
        """Whether this request is refused at once; it is answered when its body has come, and the next may follow."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if self._refusal is None or busy or self.flow.write_paused:
            return False
        self._ended_by = self._refusal(cast(Scope, self.scope), self.headers) or b""
        return bool(self._ended_by)

    def _answer(self, cycle: QuickCycle) -> None:
        """Begin with a request, or let it wait for the answer to the one before (pipelining)."""
        before, self.cycle = self.cycle, cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= len(body)
        self._body_bytes += len(body)
        if not self._refused and not self._ended_by:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._phase = ANSWER
        if self._ended_by:
            answer, self._ended_by = self._ended_by, b""
            if not self._refused:
                lines = default_lines(self.server_state.default_headers)
                self.transport.write(STATUS_LINES[503] + lines + answer)
                self.on_response_complete()
        elif not self._refused:
            super().on_message_complete()
            if self.cycle is not None and self.cycle.response_complete:
                # It was answered before its body had come.
                self._rest()

    def on_response_complete(self) -> None:
        """What the server does, but an idle connection waits with the timer that is there already."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase is ANSWER:
            self._rest()

    def _rest(self) -> None:
        """Nothing is asked now: the connection is kept for a while."""
        self._phase = self._waited_for = IDLE
        self._expect(self.timeout_keep_alive)

    def handle_websocket_upgrade(self) -> None:
        # From here on the connection is another protocol's.
        self._phase = ANSWER
        self._expect(None)
        if not self._refused:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem("malformed-request", msg))

    def _expect(self, seconds: float | None) -> None:
        """Whatever comes next must come within so many seconds; None waits for nothing.

        One timer serves a connection for as long as it waits: a later deadline is looked at when the timer fires,
        because setting one anew for every part of every request costs more than the rest of these checks.
        """
        self._deadline = None if seconds is None else self.loop.time() + seconds
        if self._deadline is None:
            return
        if self._watch is not None and self._watch.when() > self._deadline:
            self._watch.cancel()
            self._watch = None
        if self._watch is None:
            self._watch = self.loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._watch = None
        if self._deadline is None or self._refused:
            return
        left = self._deadline - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_at(self._deadline, self._look)
        elif self._phase is IDLE:
            self.timeout_keep_alive_handler()
        else:
            self._too_slow()

    def _too_slow(self) -> None:
        if self.flow.read_paused:
            # The application is behind, not the client.
            self._body_since = self.loop.time()
            self._expect(BODY_PROGRESS_WITHIN_S)
            return
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            return
        if self._phase is BODY and cycle is not None and cycle.response_complete and not self._ended_by:
            # It was answered before its body had come, and is not answered again.
            self._expect(None)
            self.transport.close()
            return
        self._refuse(Problem("request-timeout", "The request did not arrive in time."))

    def _refuse(self, problem: Problem) -> None:
        self._refused = True
        self._expect(None)
        if self.transport.is_closing():
            return
        body = msgspec.json.encode(problem.document("about:blank", "0" * 32))
        head = (
            f"HTTP/1.1 {problem.status} {problem.kind.title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _misframed(headers: list[tuple[bytes, bytes]], version: str) -> str:
    """Why two servers could read this request differently, or nothing."""
    names = [name for name, _ in headers]
    if version != "1.1" and version != "1.0":
        return "Only HTTP/1.1 is spoken here."
    if names.count(b"host") != 1 and version == "1.1":
        return "Send exactly one Host header."
    if b"transfer-encoding" not in names:
        return ""
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    return "" if codings == [b"chunked"] and version == "1.1" else "Of transfer codings only chunked is spoken here."
