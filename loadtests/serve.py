"""What one connection does with one arrival: send it, read the answer, count it, remember what was promised."""

from __future__ import annotations

import random
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from loadtests.bodies import Bodies, Caller, order
from loadtests.dispatcher import Arrival
from loadtests.recorder import Outcome, Recorder, outcome_of
from loadtests.told import HistoryFile
from loadtests.wire import Answer, Broken, TimedOut, Wire, header
from zjops.client.jobs import POLL_FACTOR, POLL_FIRST_S, POLL_MOST_S
from zjops.domain.clock import SystemClock
from zjops.domain.ids import derived_uuid
from zjops.domain.jobs import TERMINAL
from zjops.domain.wire import BatchReply
from zjops.load.scenario import Scenario

FOLLOWING = frozenset({"status", "told"})
"""Kinds of requests that follow upon arrivals: polls, and what a subscriber was told."""
RECENT = 2_000
JOB, JOB_END, STATE = b'"jobId":"', b'"', b'"status":"'
RETRY_AFTER, AWAY = b"\r\nretry-after:", frozenset({429, 503})
REPLAYED = b"\r\nidempotent-replayed: true"
LIST = "/v1/jobs?limit=20"
FLOOD = "flood"
"""A submission of the tenant that floods, which is the last; it is counted apart."""
SUBMITS = frozenset({"submit", "poll", "subscribe", FLOOD})


def counted_as(op: str) -> str:
    """The kind of request that an arrival is counted as: who polls or subscribes has submitted first."""
    return "submit" if op in SUBMITS and op != FLOOD else op


class Known(NamedTuple):
    """A job that was accepted, whose it is, and how long to wait before it is asked for again."""

    caller: Caller
    job_id: str
    wait_s: float


class Hands(NamedTuple):
    """What the connections of a process share."""

    scenario: Scenario
    callers: list[Caller]
    recorder: Recorder
    history: HistoryFile
    keys: Iterator[str]
    began: float
    later: Callable[[Arrival], None]
    subscribe: Callable[[Known, Arrival], None]


class Sent(NamedTuple):
    """How a request ended: its answer, None where none came, and times by the monotonic clock."""

    answer: Answer | None
    outcome: Outcome
    start: float
    end: float

    @property
    def away_s(self) -> float:
        """What a refusal says of when to come back (RFC 9110, section 10.2.3); 0 for all others."""
        if self.answer is None or self.answer.status not in AWAY:
            return 0.0
        asked = header(self.answer.head, RETRY_AFTER)
        return float(asked) if asked is not None and asked.isdigit() else 0.0


def after(text: bytes, mark: bytes) -> str | None:
    """What stands in a document after a mark, up to the next quotation mark."""
    at = text.find(mark)
    if at < 0:
        return None
    return text[at + len(mark) : text.find(JOB_END, at + len(mark))].decode()


class Service:
    """Serves arrivals for all connections of a process."""

    def __init__(self, hands: Hands, seed: int, bodies: Bodies) -> None:
        self._hands, self._clock = hands, SystemClock()
        self._now, self._now_ms = self._clock.monotonic, self._clock.now_ms
        self._timeout_s = hands.scenario.timeout_s
        self._chance = random.Random(seed)  # noqa: S311 - a load, no secret
        self._recent: deque[Known] = deque(maxlen=RECENT)
        self._ops = order({str(op): weight for op, weight in hands.scenario.mix.items()}, seed)
        self._submitted = 0
        self._usual = len(hands.callers) - hands.scenario.flooded
        self._hook_every = hands.scenario.webhook_every if bodies.hooked else 0
        self._decode = msgspec.json.Decoder(BatchReply).decode

    def next_op(self) -> str:
        """What the next arrival asks for."""
        op: str = next(self._ops)
        return op

    def serve(self, wire: Wire, arrival: Arrival) -> float:
        """Carry out one arrival; returns for how many seconds the answer asked to stay away."""
        if arrival.op in SUBMITS:
            sent = self._submit(wire, arrival)
        elif arrival.op == "bulk":
            sent = self._bulk(wire, arrival)
        elif arrival.op == "list":
            sent = self._plain(wire, arrival, self._caller(), LIST)
        else:
            sent = self._read(wire, arrival)
        return sent.away_s

    def _caller(self, op: str = "") -> Caller:
        if op == FLOOD:
            return self._hands.callers[-1]
        return self._hands.callers[int(self._chance.random() * self._usual)]

    def _send(self, wire: Wire, arrival: Arrival, caller: Caller, make: Callable[[], bytes]) -> Sent:
        """Send and wait. A token that was refused is renewed and the request sent once more, as a client does."""
        start, began = self._now(), self._hands.began
        self._hands.recorder.sent(
            arrival.second, arrival.phase, counted_as(arrival.op), arrival.due - began, start - began
        )  # fmt: skip
        try:
            carried = caller.value()
            answer = wire.exchange(make(), start + self._timeout_s)
            if answer.status == 401:
                caller.refused(carried)
                answer = wire.exchange(make(), start + self._timeout_s)
        except TimedOut:
            return Sent(None, "timeouts", start, start + self._timeout_s)
        except Broken:
            # Whoever is not there, or hangs up, is at fault himself: this is no refusal of the request (C78).
            return Sent(None, "server_errors", start, self._now())
        return Sent(answer, outcome_of(answer.status), start, self._now())

    def _count(self, arrival: Arrival, sent: Sent, jobs: int) -> None:
        began = self._hands.began
        status = sent.answer.status if sent.answer else 0
        self._hands.recorder.done(
            arrival.second, arrival.phase, counted_as(arrival.op), due_s=arrival.due - began,
            start_s=sent.start - began, end_s=sent.end - began, outcome=sent.outcome, status=status, jobs=jobs,
        )  # fmt: skip

    def _submit(self, wire: Wire, arrival: Arrival) -> Sent:
        caller, key = self._caller(arrival.op), next(self._hands.keys)
        self._submitted += 1
        kind = "hooked" if self._hook_every and self._submitted % self._hook_every == 0 else "single"
        start_ms = self._now_ms()
        sent = self._send(wire, arrival, caller, lambda: caller.post(kind, key))
        job_id = after(sent.answer.body, JOB) if sent.answer and sent.outcome == "accepted" else None
        if job_id is None and sent.outcome == "accepted":
            sent = sent._replace(outcome="server_errors")
        self._count(arrival, sent, 1 if job_id else 0)
        self._tell(caller, key, start_ms, sent, job_id)
        if job_id is None:
            return sent
        known = Known(caller, job_id, POLL_FIRST_S)
        self._recent.append(known)
        if arrival.op == "poll":
            self._poll_later(known)
        elif arrival.op == "subscribe":
            self._hands.subscribe(known, arrival)
        return sent

    def _tell(self, caller: Caller, key: str, start_ms: int, sent: Sent, job_id: str | None) -> None:
        end_ms, answer = self._now_ms(), sent.answer
        if answer is None:
            self._hands.history.submitted(caller.tenant, key, start_ms, end_ms, "unknown")
            return
        self._hands.history.submitted(
            caller.tenant, key, start_ms, end_ms, "ok" if job_id else "fail", answer.status, job_id,
            REPLAYED in answer.head,
        )  # fmt: skip

    def _bulk(self, wire: Wire, arrival: Arrival) -> Sent:
        caller, key = self._caller(), next(self._hands.keys)
        start_ms = self._now_ms()
        sent = self._send(wire, arrival, caller, lambda: caller.post("bulk", key))
        name, end_ms = uuid.UUID(key).bytes, self._now_ms()
        reply: BatchReply | None = None
        try:
            reply = self._decode(sent.answer.body) if sent.answer and sent.outcome == "accepted" else None
        except msgspec.MsgspecError:
            # What cannot be read tells of no job.
            sent = sent._replace(answer=None, outcome="server_errors")
        if reply is not None:
            for item in reply.items:
                self._hands.history.submitted(
                    caller.tenant, str(derived_uuid(name, str(item.index))), start_ms, end_ms,
                    "ok" if item.job else "fail", item.status, item.job.job_id if item.job else None, item.replayed,
                )  # fmt: skip
        elif sent.answer is None:
            for index in range(self._hands.scenario.bulk):
                item_key = str(derived_uuid(name, str(index)))
                self._hands.history.submitted(caller.tenant, item_key, start_ms, end_ms, "unknown")
        self._count(arrival, sent, reply.accepted if reply else 0)
        return sent

    def _plain(self, wire: Wire, arrival: Arrival, caller: Caller, path: str) -> Sent:
        sent = self._send(wire, arrival, caller, lambda: caller.get(path))
        self._count(arrival, sent, 0)
        return sent

    def _read(self, wire: Wire, arrival: Arrival) -> Sent:
        """A job that was accepted lately, or one that is polled; before there is any, a list."""
        known = arrival.job or (self._chance.choice(self._recent) if self._recent else None)
        if known is None:
            return self._plain(wire, arrival, self._caller(), LIST)
        path = f"/v1/jobs/{known.job_id}"
        start_ms = self._now_ms()
        sent = self._plain(wire, arrival, known.caller, path + ("/status" if arrival.op == "status" else ""))
        status = after(sent.answer.body, STATE) if sent.answer and sent.outcome == "accepted" else None
        if status is not None:
            self._hands.history.read(known.job_id, status, start_ms, self._now_ms())
        if arrival.op == "status" and status not in TERMINAL:
            self._poll_later(known)
        return sent

    def _poll_later(self, known: Known) -> None:
        due = self._now() + known.wait_s
        job: Any = known._replace(wait_s=min(POLL_MOST_S, known.wait_s * POLL_FACTOR))
        second, phase = self.place(due)
        self._hands.later(Arrival(due, second, phase, "status", job))

    def place(self, at: float) -> tuple[int, int]:
        """Second and phase of a moment; after the last phase it is still that."""
        seconds = max(0.0, at - self._hands.began)
        starts = self._hands.scenario.starts()
        return int(seconds), max(number for number, start in enumerate(starts) if start <= seconds)
