"""One process of the generator: schedule, connections, tokens, counts, and the lines that it writes about them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import msgspec

from loadtests.bodies import Bodies, Caller
from loadtests.dispatcher import Arrival, Dispatcher, Later
from loadtests.following import Ear, Followers
from loadtests.keys import keys
from loadtests.plan import Plan
from loadtests.recorder import Recorder
from loadtests.serve import FLOOD, FOLLOWING, Hands, Service, counted_as
from loadtests.tokens import Token
from loadtests.told import HistoryFile
from loadtests.wire import Target, Wire
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ZjopsError
from zjops.domain.ids import SystemIds
from zjops.load.records import Cpu, Line, Tail, Tick
from zjops.load.schedule import arrivals, share

FLUSH_S = 0.2
TELL_EVERY = 5
"""Lines are told every so many flushes of the history."""
FOLLOW_MOST_S = 30.0
"""Polls and subscriptions may go on so long after the last arrival."""

Tell = Callable[[list[Tick], bytes], None]


class Generator:
    """`index` of `plan.workers`. `tell` takes what is new: the ticks, and all lines as bytes."""

    def __init__(self, plan: Plan, index: int, tell: Tell) -> None:
        self.plan, self.index, self._tell = plan, index, tell
        clock = SystemClock()
        self._now, scenario = clock.monotonic, plan.scenario
        self.began = self._now() + (plan.began_ms - clock.now_ms()) / 1000
        starts = scenario.starts()
        ends = [start + phase.duration_s for start, phase in zip(starts, scenario.phases, strict=True)]
        self._edges = [0.0, *ends]
        self.recorder = Recorder(index, ends, FOLLOWING)
        path = Path(plan.folder) / f"history-{index}.jsonl" if plan.folder else None
        self.history = HistoryFile(path)
        self.dispatcher = Dispatcher(self._now, scenario.drop_after_s, self._offered, self._dropped)
        self._later = Later(self._now, self.dispatcher.offer)
        self._target = Target.of(plan.api_url)
        bodies = Bodies(scenario, plan.seed, plan.hook)
        callers = [Caller(one.tenant, self._target, bodies, index) for one in plan.clients]
        self._tokens = [self._token(caller, one) for caller, one in zip(callers, plan.clients, strict=True)]
        self._followers = Followers(
            Ear(plan.api_url, self.recorder, self.history, self.began, scenario.timeout_s), scenario.subscribe_by
        )
        hands = Hands(scenario, callers, self.recorder, self.history, keys(SystemIds(clock).token), self.began,
                      self._later.add, self._followers.follow)  # fmt: skip
        self.service = Service(hands, plan.seed + index, bodies)
        self._greenlets: list[gevent.Greenlet] = []
        self._ready, self._ended = gevent.event.Event(), False
        self._cpu = (0.0, 0.0)

    def _token(self, caller: Caller, client: Any) -> Token:
        token = Token(self.plan.token_url, client, self._now, caller.changed)
        caller.token = token
        return token

    def prepare(self) -> None:
        """Get tokens, and have what lives for ever out of the garbage collector's way. Raises `ZjopsError`."""
        for token in self._tokens:
            token.fetch()
        gc.collect()
        gc.freeze()
        self._greenlets = [gevent.spawn(token.run) for token in self._tokens]
        self._greenlets += [gevent.spawn(self._later.run), gevent.spawn(self._report)]
        self._ready.set()

    def run(self) -> None:
        """Go through the whole schedule, then through what is under way, and end."""
        scenario = self.plan.scenario
        try:
            self.prepare()
        except ZjopsError as exc:
            self.end(whole=False)
            raise SystemExit(f"error: {exc}") from exc
        if scenario.model == "open":
            self.dispatcher.pace(self._arrivals())
        else:
            gevent.sleep(max(0.0, self.began + scenario.duration_s - self._now()))
        self.dispatcher.drain(scenario.timeout_s + scenario.drop_after_s)
        deadline = self._now() + FOLLOW_MOST_S
        while (self._followers.open or len(self._later)) and self._now() < deadline:
            gevent.sleep(FLUSH_S)
        self.dispatcher.drain(scenario.timeout_s)
        self.end(whole=True)

    def _arrivals(self) -> Iterator[Arrival]:
        scenario, began, next_op = self.plan.scenario, self.began, self.service.next_op
        series = arrivals(scenario.phases, scenario.arrivals, self.plan.seed)
        for at_s, phase, flood in share(series, self.index, self.plan.workers):
            yield Arrival(began + at_s, int(at_s), phase, FLOOD if flood else next_op())

    def connection(self) -> None:
        """What one connection does from the beginning to the end."""
        self._ready.wait()
        wire = Wire(self._target, self._now)
        if self.plan.scenario.connected:
            # One that is not there in time is opened when it is needed, and counted then.
            wire.open(self.began - self._now())
        try:
            if self.plan.scenario.model == "closed":
                self._on_and_on(wire)
                return
            while (arrival := self.dispatcher.next()) is not None:
                try:
                    self.service.serve(wire, arrival)
                finally:
                    self.dispatcher.done()
        finally:
            wire.close()

    def _on_and_on(self, wire: Wire) -> None:
        """The closed model: the next is due when the last was answered, and later where the answer asks for that."""
        gevent.sleep(max(0.0, self.began - self._now()))
        ends = self.began + self.plan.scenario.duration_s
        while not self._ended and (due := self._now()) < ends:
            second, phase = self.service.place(due)
            arrival = Arrival(due, second, phase, self.service.next_op())
            self._offered(arrival)
            self.dispatcher.busy += 1
            try:
                away_s = self.service.serve(wire, arrival)
            finally:
                self.dispatcher.done()
            if away_s:
                gevent.sleep(min(away_s, max(0.0, ends - self._now())))

    def _offered(self, arrival: Arrival) -> None:
        self.recorder.offered(arrival.second, arrival.phase, counted_as(arrival.op))

    def _dropped(self, arrival: Arrival) -> None:
        self.recorder.dropped(arrival.second, arrival.phase, counted_as(arrival.op))

    def _taken_back(self, arrival: Arrival) -> None:
        self.recorder.taken_back(arrival.second, arrival.phase, counted_as(arrival.op))

    def _report(self) -> None:
        self._cpu = (self._now(), time.process_time())
        turn = 0
        while True:
            gevent.sleep(FLUSH_S)
            self.history.flush()
            turn += 1
            if turn % TELL_EVERY == 0 or self._crossed():
                self.report()

    def _crossed(self) -> bool:
        """Whether a phase has begun or ended since the processor was looked at: no look should be of two phases."""
        last, now = self._cpu[0] - self.began, self._now() - self.began
        return any(last < edge <= now for edge in self._edges)

    def report(self, *more: Line) -> None:
        """Tell what is new."""
        (at, used), now = self._cpu, (self._now(), time.process_time())
        self._cpu = now
        lines: list[Line] = [*self.recorder.take()]
        ticks = [line for line in lines if isinstance(line, Tick)]
        if now[0] > self.began:
            lines.append(Cpu(worker=self.index, from_s=at - self.began, to_s=now[0] - self.began, cpu_s=now[1] - used))
        lines += more
        self._tell(ticks, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    def end(self, *, whole: bool) -> None:
        """Stop sending, and write the last lines; safe twice."""
        if self._ended:
            return
        self._ended = True
        ran_s = max(0.0, self._now() - self.began)
        self.dispatcher.give_up(self._taken_back)
        gevent.killall([greenlet for greenlet in self._greenlets if greenlet is not gevent.getcurrent()], block=False)
        self._ready.set()
        self.report(Tail(worker=self.index, ran_s=ran_s, whole=whole))
        self.history.close()
        for token in self._tokens:
            token.close()
