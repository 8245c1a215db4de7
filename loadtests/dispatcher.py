"""One dispatcher a process: gives each arrival to an idle connection when it is due, or makes it wait for one."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

import gevent
from gevent.event import Event
from gevent.hub import get_hub

from loadtests.timer import Timer

NAP_S = 0.2


class Arrival(NamedTuple):
    """Something to send: when it is due (monotonic), where that is in the run, and what it asks for."""

    due: float
    second: int
    phase: int
    op: str
    job: Any = None


class Dispatcher:
    """Connections that have nothing to do wait in `idle`, arrivals that found none wait in `backlog`.

    The connection that was used last is used next, so that no more are open than are needed. One that is ready takes
    what is due by itself: where many answers come at once, the schedule would else wait until all of them are read.
    """

    def __init__(
        self, now: Callable[[], float], drop_after_s: float, offered: Callable[[Arrival], None],
        dropped: Callable[[Arrival], None],
    ) -> None:  # fmt: skip
        self._now, self._drop_after_s, self._offered, self._dropped = now, drop_after_s, offered, dropped
        self._idle: list[gevent.Greenlet] = []
        self._backlog: deque[Arrival] = deque()
        self._coming: Iterator[Arrival] = iter(())
        self._first: Arrival | None = None
        self._loop = get_hub().loop
        self._closed = False
        self.busy = 0

    def offer(self, arrival: Arrival) -> None:
        """Have an arrival sent as soon as a connection is there."""
        self._offered(arrival)
        if self._idle:
            # Switched to by the hub and not from here, so that the next arrival does not wait for this one's sending.
            self._loop.run_callback(self._idle.pop().switch, arrival)
            self.busy += 1
        else:
            self._backlog.append(arrival)

    def next(self) -> Arrival | None:
        """The next arrival for the connection that asks, which is the greenlet that runs; None at the end."""
        while (arrival := self._waiting()) is not None:
            if self._now() - arrival.due <= self._drop_after_s:
                self.busy += 1
                return arrival
            self._dropped(arrival)
        if self._closed:
            return None
        me = gevent.getcurrent()
        self._idle.append(me)
        try:
            found: Arrival | None = get_hub().switch()
        except BaseException:
            if me in self._idle:
                self._idle.remove(me)
            raise
        return found

    def _waiting(self) -> Arrival | None:
        """What is due and has nobody: from the backlog, or the first of the schedule."""
        if self._backlog:
            return self._backlog.popleft()
        if self._closed or self._first is None or self._first.due > self._now():
            return None
        due = self._pop(self._first)
        self._offered(due)
        return due

    def done(self) -> None:
        """A connection has finished what it got."""
        self.busy -= 1

    def pace(self, arrivals: Iterable[Arrival]) -> None:
        """Offer each arrival when it is due; comes back after the last."""
        timer = Timer()
        self._coming = iter(arrivals)
        self._first = next(self._coming, None)
        try:
            while (first := self._first) is not None and not self._closed:
                wait_s = first.due - self._now()
                if wait_s > 0:
                    timer.sleep(wait_s)
                else:
                    self.offer(self._pop(first))
        finally:
            self._first = None
            timer.close()

    def _pop(self, first: Arrival) -> Arrival:
        """The first of the schedule, which is no longer to come."""
        self._first = next(self._coming, None)
        return first

    def drain(self, within_s: float) -> None:
        """Wait until nothing waits and nothing is under way; what then still waits is dropped."""
        deadline = self._now() + within_s
        while (self._backlog or self.busy) and self._now() < deadline:
            gevent.sleep(NAP_S / 10)
        while self._backlog:
            self._dropped(self._backlog.popleft())

    def give_up(self, taken_back: Callable[[Arrival], None]) -> None:
        """Send nothing more. What waits too long already is dropped; the rest might yet have been sent, and is taken
        back: it was never part of the load."""
        self.close()
        while self._backlog:
            arrival = self._backlog.popleft()
            told = taken_back if self._now() - arrival.due <= self._drop_after_s else self._dropped
            told(arrival)

    def close(self) -> None:
        """Send every connection home; what comes from now on is not taken."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            self._loop.run_callback(connection.switch, None)


class Later:
    """What follows upon arrivals, each due at a time of its own."""

    def __init__(self, now: Callable[[], float], offer: Callable[[Arrival], None]) -> None:
        self._now, self._offer = now, offer
        self._heap: list[tuple[float, int, Arrival]] = []
        self._number = count()
        self._sooner = Event()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, arrival: Arrival) -> None:
        """Have it offered when it is due."""
        heapq.heappush(self._heap, (arrival.due, next(self._number), arrival))
        if self._heap[0][2] is arrival:
            self._sooner.set()

    def run(self) -> None:
        """For ever."""
        while True:
            wait_s = self._heap[0][0] - self._now() if self._heap else NAP_S
            if wait_s > 0:
                self._sooner.clear()
                self._sooner.wait(wait_s)
                continue
            self._offer(heapq.heappop(self._heap)[2])
