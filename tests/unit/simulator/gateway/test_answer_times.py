"""How long an answer took, by a clock that the application moves."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from simulator.gateway.context import LATE, RequestContext, context_of
from simulator.gateway.exchange import Exchange
from simulator.gateway.stack import Gateway, Guards, Rule
from simulator.gateway.tally import RequestTally
from simulator.telemetry import Telemetry
from simulator.tracing import Tracing
from zjops.domain.clock import ManualClock
from zjops.domain.ids import SeededIds
from zjops.domain.requests import LATENCY_BOUNDS_MS, Rollup

QUICK_S, LONG_S = 0.2, 60.0
PARTS = 4
"""Of a body that is sent slowly."""


class Application:
    """Answers after a fifth of a second, and goes on for a minute."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._clock.advance(QUICK_S)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self._clock.advance(LONG_S)
        await send({"type": "http.response.body", "body": b""})

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._clock.advance(QUICK_S)
        await send({"type": "websocket.accept"})
        self._clock.advance(LONG_S)
        await send({"type": "websocket.close"})

    async def waits(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._clock.advance(QUICK_S + LONG_S)
        context = context_of(scope)
        context.waited_s += LONG_S
        assert context.answer is not None
        await context.answer(200, [], b"")

    async def hears(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            self._clock.advance(QUICK_S / PARTS)
        answer = context_of(scope).answer
        assert answer is not None
        await answer(200, [], b"")

    async def slow(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._clock.advance(LONG_S)
        answer = context_of(scope).answer
        assert answer is not None
        await answer(200, [], b"")


async def _ask(name: str, *, late: bool = False) -> Rollup:
    clock = ManualClock(1_790_000_000_000)
    ids, tally = SeededIds(clock, 1), RequestTally()
    nobody = cast(Any, SimpleNamespace(
        answered=lambda context, status: None, left=lambda context: None, whole=lambda context: None
    ))  # fmt: skip
    guards = Guards(nobody, nobody, nobody, nobody, lambda method, path: Rule("/x", None), lambda path: True)
    tracing = Tracing(ids, "api", "", 1.0)
    gateway = Gateway(
        getattr(Application(clock), name), guards, clock, ids, Telemetry("api", clock, None), tracing, tally
    )

    more = [True] * (PARTS - 1) if late else []

    async def receive() -> Message:
        clock.advance(LONG_S if late else 0.0)
        return {"type": "http.request", "body": b"", "more_body": bool(more and more.pop())}

    async def send(message: Message) -> None:
        return

    kind = "websocket" if name == "socket" else "http"
    scope = {"type": kind, "method": "GET", "path": "/x", "headers": []} | ({LATE: True} if late else {})
    await gateway(scope, receive, send)
    (row,) = tally.take(0, "api")
    return row


@pytest.mark.parametrize("name", ["stream", "socket", "waits", "slow"])
async def test_neither_a_stream_nor_a_wish_to_wait_makes_an_answer_slow(name: str) -> None:
    row = await _ask(name)
    quick = row.latency_ms_histogram[LATENCY_BOUNDS_MS.index(250)]
    assert (quick, row.timeouts) == ((0, 1) if name == "slow" else (1, 0))


async def test_a_body_that_its_client_sends_slowly_makes_no_answer_slow() -> None:
    row = await _ask("hears", late=True)
    assert (row.latency_ms_histogram[LATENCY_BOUNDS_MS.index(250)], row.timeouts) == (1, 0)


@pytest.mark.parametrize("name", ["stream", "waits", "hears"])
async def test_nothing_of_a_request_waits_for_the_garbage_collector(name: str) -> None:
    gc.collect()
    gc.disable()
    try:
        await _ask(name)
        left = [one for one in gc.get_objects() if isinstance(one, RequestContext | Exchange)]
    finally:
        gc.enable()
    assert left == []
