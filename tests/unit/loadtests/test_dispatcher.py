"""The dispatcher: due times hold whatever the connections do; who waits is timed, who waits too long is dropped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

gevent = pytest.importorskip("gevent")

from loadtests.dispatcher import Arrival, Dispatcher, Later  # noqa: E402


class Hands:
    """A clock that is set by hand, and what came of each arrival."""

    def __init__(self, drop_after_s: float = 5.0) -> None:
        self.at = 100.0
        self.offered: list[float] = []
        self.dropped: list[float] = []
        self.taken: list[tuple[str, float, float]] = []
        self.dispatcher = Dispatcher(
            lambda: self.at, drop_after_s, lambda arrival: self.offered.append(arrival.due),
            lambda arrival: self.dropped.append(arrival.due),
        )  # fmt: skip
        self._greenlets: list[gevent.Greenlet] = []

    def connect(self, name: str, busy: gevent.event.Event | None = None) -> None:
        """A connection; with `busy` it ends what it got only when that is set."""

        def work() -> None:
            while (arrival := self.dispatcher.next()) is not None:
                self.taken.append((name, arrival.due, self.at))
                if busy is not None:
                    busy.wait()
                self.dispatcher.done()

        self._greenlets.append(gevent.spawn(work))
        gevent.sleep(0)

    def offer(self, due: float) -> None:
        self.dispatcher.offer(Arrival(due, 0, 0, "submit"))
        gevent.sleep(0)

    def end(self) -> None:
        self.dispatcher.close()
        gevent.joinall(self._greenlets, timeout=5, raise_error=True)
        assert all(greenlet.dead for greenlet in self._greenlets)


@pytest.fixture
def hands() -> Iterator[Hands]:
    made = Hands()
    yield made
    made.end()


def test_the_connection_that_was_used_last_is_used_next(hands: Hands) -> None:
    for name in ("one", "two", "three"):
        hands.connect(name)
    for number in range(4):
        hands.offer(100 + number)
    assert {name for name, _, _ in hands.taken} == {"three"}


def test_an_arrival_that_finds_every_connection_taken_waits_and_its_wait_is_seen(hands: Hands) -> None:
    busy = gevent.event.Event()
    hands.connect("one", busy)
    hands.offer(100.0)
    hands.offer(100.1)
    assert [due for _, due, _ in hands.taken] == [100.0]
    hands.at = 102.0
    busy.set()
    gevent.sleep(0.01)
    assert hands.taken[1] == ("one", 100.1, 102.0)
    assert hands.dropped == []


def test_an_arrival_that_waited_beyond_the_bound_is_dropped_and_the_next_one_served(hands: Hands) -> None:
    busy = gevent.event.Event()
    hands.connect("one", busy)
    for due in (100.0, 100.1, 104.0):
        hands.offer(due)
    hands.at = 105.5
    busy.set()
    gevent.sleep(0.01)
    assert hands.offered == [100.0, 100.1, 104.0]
    assert hands.dropped == [100.1]
    assert [due for _, due, _ in hands.taken] == [100.0, 104.0]


def test_what_still_waits_when_the_time_is_up_is_dropped(hands: Hands) -> None:
    busy = gevent.event.Event()
    hands.connect("one", busy)
    hands.offer(100.0)
    hands.offer(100.1)
    hands.dispatcher.drain(0)
    assert hands.dropped == [100.1]
    busy.set()


def test_each_arrival_is_offered_when_it_is_due_and_never_before() -> None:
    from zjops.domain.clock import SystemClock

    now = SystemClock().monotonic
    dispatcher = Dispatcher(now, 5, lambda arrival: None, lambda arrival: None)
    seen: list[tuple[float, float]] = []

    def work() -> None:
        while (arrival := dispatcher.next()) is not None:
            seen.append((arrival.due, now()))
            dispatcher.done()

    connections = [gevent.spawn(work) for _ in range(3)]
    gevent.sleep(0)
    begin = now() + 0.01
    dispatcher.pace(Arrival(begin + number / 500, 0, 0, "submit") for number in range(50))
    dispatcher.drain(1)
    dispatcher.close()
    gevent.joinall(connections, timeout=5)
    assert sorted(due for due, _ in seen) == pytest.approx([begin + number / 500 for number in range(50)])
    assert all(at >= due for due, at in seen)


def test_a_connection_that_is_ready_takes_what_is_due_before_the_others_have_read_their_answers() -> None:
    at, taken = [100.0], []
    dispatcher = Dispatcher(lambda: at[0], 5, lambda arrival: None, lambda arrival: None)
    answers = [gevent.event.Event() for _ in range(2)]

    def work(answer: gevent.event.Event) -> None:
        while (arrival := dispatcher.next()) is not None:
            taken.append((arrival.due, at[0]))
            answer.wait()
            # Reading an answer takes a second, and both have come.
            at[0] += 1.0
            dispatcher.done()

    connections = [gevent.spawn(work, answer) for answer in answers]
    gevent.sleep(0)
    schedule = [Arrival(due, 0, 0, "submit") for due in (100.0, 100.0, 100.5, 101.5)]
    pacing = gevent.spawn(dispatcher.pace, schedule)
    gevent.sleep(0.05)
    assert [due for due, _ in taken] == [100.0, 100.0]
    for answer in answers:
        answer.set()
    gevent.joinall([pacing], timeout=5)
    dispatcher.close()
    gevent.joinall(connections, timeout=5)
    assert taken[2:] == [(100.5, 101.0), (101.5, 102.0)], "one second late at most, not two"


def test_what_stood_too_long_in_the_schedule_is_dropped_as_from_the_backlog() -> None:
    at, dropped, offered = [100.0], [], []
    dispatcher = Dispatcher(lambda: at[0], 2, offered.append, dropped.append)
    taken: list[float] = []

    def work() -> None:
        while (arrival := dispatcher.next()) is not None:
            taken.append(arrival.due)
            if arrival.due == 100.0:
                # The whole generator stands still.
                at[0] = 103.0
            dispatcher.done()

    connection = gevent.spawn(work)
    gevent.sleep(0)
    dispatcher.pace(Arrival(due, 0, 0, "submit") for due in (100.0, 100.5, 101.5, 102.5))
    dispatcher.drain(1)
    dispatcher.close()
    gevent.joinall([connection], timeout=5)
    assert (taken, [one.due for one in dropped]) == ([100.0, 101.5, 102.5], [100.5])
    assert [one.due for one in offered] == [100.0, 100.5, 101.5, 102.5]


def test_a_closed_dispatcher_stops_in_the_middle_of_its_schedule() -> None:
    dispatcher = Dispatcher(lambda: 100.0, 5, lambda arrival: None, lambda arrival: None)
    dispatcher.close()
    dispatcher.pace(Arrival(99.0, 0, 0, "submit") for _ in range(10))
    assert dispatcher.next() is None


def test_a_connection_that_is_killed_while_idle_gets_nothing_more(hands: Hands) -> None:
    killed = gevent.spawn(hands.dispatcher.next)
    gevent.sleep(0)
    killed.kill()
    hands.connect("other")
    hands.offer(100.0)
    assert [name for name, _, _ in hands.taken] == ["other"]


def test_what_follows_comes_in_the_order_of_its_times() -> None:
    offered: list[float] = []
    later = Later(lambda: 100.0, lambda arrival: offered.append(arrival.due))
    for due in (99.0, 97.0, 98.0, 200.0):
        later.add(Arrival(due, 0, 0, "status"))
    running = gevent.spawn(later.run)
    gevent.sleep(0.01)
    running.kill()
    assert offered == [97.0, 98.0, 99.0]
    assert len(later) == 1


def test_what_waits_when_all_is_given_up_was_never_due_unless_it_waited_too_long(hands: Hands) -> None:
    hands.connect("one", busy := gevent.event.Event())
    for due in (100.0, 100.5, 104.0):
        hands.offer(due)
    hands.at = 106.0
    back: list[float] = []
    hands.dispatcher.give_up(lambda arrival: back.append(arrival.due))
    assert (back, hands.dropped) == ([104.0], [100.5])
    busy.set()
    hands.end()
    assert hands.taken == [("one", 100.0, 100.0)]
