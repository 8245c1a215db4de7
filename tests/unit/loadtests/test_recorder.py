"""The recorder: from the intended start, at the timeout, in the second that it was due."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

pytest.importorskip("gevent")

from loadtests.recorder import Recorder, outcome_of
from zjops.load.histogram import Histogram, highest_of
from zjops.load.records import Tick


def record(recorder: Recorder, **given: Any) -> None:
    values = {"due_s": 1.0, "start_s": 1.0, "end_s": 1.01, "outcome": "accepted", "status": 202, "jobs": 1} | given
    recorder.offered(1, 0, "submit")
    recorder.sent(1, 0, "submit", values["due_s"], values["start_s"])
    recorder.done(1, 0, "submit", **values)


def only(recorder: Recorder) -> Tick:
    (found,) = recorder.take()
    return found


def test_latency_is_from_when_it_was_due_and_service_from_when_it_was_sent() -> None:
    recorder = Recorder(0, [10.0])
    record(recorder, due_s=1.0, start_s=1.3, end_s=1.5)
    tick = only(recorder)
    assert [highest_of(us) / 1e6 for us in tick.latency] == pytest.approx([0.5], rel=0.001)
    assert [highest_of(us) / 1e6 for us in tick.service] == pytest.approx([0.2], rel=0.001)
    assert [highest_of(us) / 1e6 for us in tick.lag] == pytest.approx([0.3], rel=0.001)


def test_a_timeout_counts_as_long_as_it_was_waited_for() -> None:
    recorder = Recorder(0, [10.0])
    record(recorder, end_s=6.0, outcome="timeouts", status=0, jobs=0)
    tick = only(recorder)
    assert (tick.timeouts, tick.accepted) == (1, 0)
    assert [highest_of(us) / 1e6 for us in tick.latency] == pytest.approx([5.0], rel=0.001)


def test_a_quick_refusal_does_not_flatter_the_latency() -> None:
    recorder = Recorder(0, [10.0])
    record(recorder, outcome="shed", status=429, jobs=0)
    tick = only(recorder)
    assert (tick.shed, tick.offered, tick.latency, tick.statuses) == (1, 1, {}, {"429": 1})


@pytest.mark.parametrize(
    ("status", "outcome", "counts"),
    [
        (202, "accepted", (0, 0, 0)), (429, "shed", (1, 0, 0)), (503, "shed", (1, 0, 1)),
        (500, "server_errors", (0, 1, 1)), (422, "errors", (0, 1, 0)),
    ],
)  # fmt: skip
def test_what_an_answer_counts_as(status: int, outcome: str, counts: tuple[int, int, int]) -> None:
    assert outcome_of(status) == outcome
    recorder = Recorder(0, [10.0])
    record(recorder, outcome=outcome, status=status)
    tick = only(recorder)
    assert (tick.shed, tick.errors, tick.server_errors) == counts


def test_what_was_sent_only_after_its_phase_is_late() -> None:
    recorder = Recorder(0, [2.0])
    record(recorder, due_s=1.99, start_s=2.05)
    record(recorder, due_s=1.99, start_s=2.2, end_s=2.3)
    assert only(recorder).late == 1


def test_what_is_under_way_when_it_ends_was_offered_and_sent() -> None:
    recorder = Recorder(0, [10.0])
    recorder.offered(1, 0, "submit")
    recorder.sent(1, 0, "submit", 1.0, 1.2)
    tick = only(recorder)
    assert (tick.offered, tick.started, tick.accepted, tick.latency, sum(tick.lag.values())) == (1, 1, 0, {}, 1)


def test_what_was_dropped_was_offered_and_never_sent() -> None:
    recorder = Recorder(3, [10.0])
    recorder.offered(4, 0, "submit")
    recorder.dropped(4, 0, "submit")
    tick = only(recorder)
    assert (tick.worker, tick.second, tick.offered, tick.started, tick.dropped) == (3, 4, 1, 0, 1)


def test_news_are_told_once_and_what_follows_is_told_apart() -> None:
    recorder = Recorder(0, [10.0], frozenset({"status"}))
    record(recorder)
    recorder.done(1, 0, "status", due_s=1, start_s=1, end_s=2, outcome="accepted", status=200, jobs=0)
    assert {tick.op: tick.primary for tick in recorder.take()} == {"submit": True, "status": False}
    assert recorder.take() == []


def test_its_percentiles_agree_with_reference_arithmetic_on_timestamps_within_one_per_cent() -> None:
    chance, recorder, exact = random.Random(3), Recorder(0, [1_000.0]), []
    for number in range(10_000):
        due = number / 100
        start = due + chance.expovariate(2_000)
        end = start + chance.lognormvariate(-5, 1)
        record(recorder, due_s=due, start_s=start, end_s=end)
        exact.append((end - due) * 1e6)
    found = Histogram(only(recorder).latency)
    for percent in (50, 90, 95, 99, 99.9):
        reference = sorted(exact)[math.ceil(len(exact) * percent / 100) - 1]
        assert found.percentile(percent) == pytest.approx(reference, rel=0.01)
