"""Subscribers: who submitted a job and is told how it goes, by server-sent events or by one WebSocket a tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import gevent
import msgspec

from loadtests.dispatcher import Arrival
from loadtests.recorder import Recorder
from loadtests.serve import Known
from loadtests.told import HistoryFile
from loadtests.wire import Broken, Target, TimedOut, Wire
from zjops.client.stream import QUIET_S, SUBSCRIBE, Update, fields
from zjops.client.websocket import Socket, dial
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ZjopsError
from zjops.domain.jobs import JobState

GATHER_S = 0.1
"""Jobs that are accepted so soon after one another are asked for in one message."""
LISTEN_S = 1.0


class Ear(NamedTuple):
    """What subscribers share: where the API is, and whom they tell."""

    api_url: str
    recorder: Recorder
    history: HistoryFile
    began: float
    connect_s: float


class Followers:
    """Those of one process. A job's end counts as `told`, timed from when its submission was due."""

    def __init__(self, ear: Ear, by: str) -> None:
        self._ear, self._by = ear, by
        self._target, self._clock = Target.of(ear.api_url), SystemClock()
        self._decode = msgspec.json.Decoder(Update).decode
        self._sockets: dict[str, _Following] = {}
        self._streams = 0

    @property
    def open(self) -> int:
        """How many jobs are followed."""
        return self._streams + sum(len(one.waiting) for one in self._sockets.values())

    def follow(self, known: Known, arrival: Arrival) -> None:
        """Begin to follow a job."""
        due = arrival.due - self._ear.began
        self._ear.recorder.offered(arrival.second, arrival.phase, "told")
        self._ear.recorder.sent(arrival.second, arrival.phase, "told", due, due)
        if self._by == "sse":
            self._streams += 1
            gevent.spawn(self._by_events, known, arrival)
            return
        tenant = known.caller.tenant
        if tenant not in self._sockets:
            self._sockets[tenant] = _Following(self._ear, known.caller.value, self._saw, self._count)
        self._sockets[tenant].add(known.job_id, arrival)

    def _by_events(self, known: Known, arrival: Arrival) -> None:
        wire = Wire(self._target, self._clock.monotonic)
        request = known.caller.get(f"/v1/jobs/{known.job_id}/stream", "accept: text/event-stream\r\n")
        try:
            answer, parts = wire.stream(request, self._clock.monotonic() + self._ear.connect_s, QUIET_S)
            told = answer.status == 200 and self._told(parts)
            self._count(arrival, answer.status, told=told)
        except (TimedOut, Broken, msgspec.MsgspecError):
            self._count(arrival, 0, told=False)
        finally:
            wire.close()
            self._streams -= 1

    def _told(self, parts: Iterator[bytes]) -> bool:
        """Whether the end came."""
        for name, text in fields(parts):
            if name == "data":
                update = self._decode(text)
                self._saw(update)
                if update.is_last(final=False):
                    return True
        return False

    def _saw(self, update: Update) -> None:
        at_ms = int(update.timestamp * 1000)
        self._ear.history.read(update.job_id, JobState(update.status).value, at_ms, self._clock.now_ms())

    def _count(self, arrival: Arrival, status: int, *, told: bool) -> None:
        due, end = arrival.due - self._ear.began, self._clock.monotonic() - self._ear.began
        self._ear.recorder.done(
            arrival.second, arrival.phase, "told", due_s=due, start_s=due, end_s=end,
            outcome="accepted" if told else "errors", status=status, jobs=0,
        )  # fmt: skip


class _Following:
    """One tenant's WebSocket, opened for its first job and again for the first after it was lost."""

    def __init__(
        self, ear: Ear, token: Callable[[], str], saw: Callable[[Update], None], count: Callable[..., None]
    ) -> None:  # fmt: skip
        self._url = "ws" + ear.api_url.removeprefix("http") + SUBSCRIBE
        self._token, self._saw, self._count = token, saw, count
        self._decode = msgspec.json.Decoder(Update).decode
        self.waiting: dict[str, Arrival] = {}
        self._new: list[str] = []
        self._running = False

    def add(self, job_id: str, arrival: Arrival) -> None:
        """Follow one more job."""
        self.waiting[job_id] = arrival
        self._new.append(job_id)
        if not self._running:
            self._running = True
            gevent.spawn(self._run)

    def _run(self) -> None:
        try:
            with dial(self._url, self._token()) as socket:
                asking = gevent.spawn(self._ask, socket)
                try:
                    self._listen(socket)
                finally:
                    asking.kill()
        except ZjopsError:
            # What was followed on it is lost to this subscriber; a real one would ask again, which is not measured.
            self._lose()
        finally:
            # While the connection was being closed, more may have come to be followed.
            self._running = bool(self.waiting)
            if self._running:
                gevent.spawn(self._run)

    def _ask(self, socket: Socket) -> None:
        while True:
            if self._new:
                jobs, self._new = self._new[:500], self._new[500:]
                socket.send(msgspec.json.encode({"action": "subscribe", "jobIds": jobs}).decode())
            gevent.sleep(GATHER_S)

    def _listen(self, socket: Socket) -> None:
        while self.waiting:
            text = socket.receive(LISTEN_S)
            if text is None:
                continue
            try:
                update = self._decode(text)
            except msgspec.MsgspecError:
                self._lose()
                return
            self._saw(update)
            if update.is_last(final=False) and update.job_id in self.waiting:
                self._count(self.waiting.pop(update.job_id), 200, told=True)

    def _lose(self) -> None:
        lost, self.waiting, self._new = self.waiting, {}, []
        for arrival in lost.values():
            self._count(arrival, 0, told=False)
