"""Limits as state machines on a virtual clock: never more than rate x time + burst, never a unit twice or lost."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from simulator.policy.abuse import FAILURES_MOST, Breach, SignalKind, Spike, Step, breach, earns_ban, next_step
from simulator.policy.admission import Pressure, admit
from simulator.policy.breaker import LEAST_REQUESTS, OPEN_S, Breaker, State
from simulator.policy.ratelimit import Bucket, take
from zjops.domain.plans import Plan, decide_quota, price_book


class BucketMachine(RuleBasedStateMachine):
    """Any interleaving of requests and waits, over any span, passes at most rate x seconds + capacity."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.bucket, self.passed = 0, None, []  # type: ignore[var-annotated]
        self.rate, self.capacity = 7.0, 14

    @rule(wait_ms=st.integers(0, 3000), requests=st.integers(1, 40))
    def ask(self, wait_ms: int, requests: int) -> None:
        self.now += wait_ms
        for _ in range(requests):
            self.bucket, decision = take(self.bucket, self.rate, self.capacity, self.now)
            if decision.allowed:
                self.passed.append(self.now)
            else:
                _, later = take(self.bucket, self.rate, self.capacity, self.now + decision.retry_after_s * 1000)
                assert later.allowed

    @rule(back_ms=st.integers(1, 5000))
    def clock_goes_back(self, back_ms: int) -> None:
        before = self.bucket
        self.bucket, _ = take(self.bucket, self.rate, self.capacity, max(0, self.now - back_ms))
        if isinstance(before, Bucket):
            assert self.bucket.tokens <= before.tokens

    @invariant()
    def never_more_than_rate_and_burst(self) -> None:
        for first in range(0, len(self.passed), 5):
            span = (self.now - self.passed[first]) / 1000
            assert len(self.passed) - first <= math.floor(self.rate * span + self.capacity + 1e-6)


class QuotaMachine(RuleBasedStateMachine):
    """Reservations that are charged or released in any order: what is used is what is held and charged."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        base = price_book().plan("starter", {"compute_units": 1000, "buffer_percent": 5, "overage_enabled": True})
        self.plan: Plan = msgspec.structs.replace(base, overage_cap_percent=50)
        self.kept: dict[int, int] = {}
        self.number = self.charged = self.asked = self.released = 0

    @rule(target=held, units=st.integers(1, 400))
    def reserve(self, units: int) -> int:
        decision = decide_quota(self.plan, sum(self.kept.values()) + self.charged, units)
        self.number += 1
        if decision.allowed:
            self.kept[self.number] = units
            self.asked += units
        return self.number

    @rule(number=consumes(held), charge=st.booleans())
    def settle(self, number: int, charge: bool) -> None:
        units = self.kept.pop(number, 0)
        if charge:
            self.charged += units
        else:
            self.released += units

    @invariant()
    def never_over_the_cap_and_nothing_lost(self) -> None:
        used = sum(self.kept.values()) + self.charged
        assert used <= self.plan.compute_units + self.plan.buffer_units + self.plan.overage_cap_units
        assert used + self.released == self.asked


class BreakerMachine(RuleBasedStateMachine):
    """An open breaker lets nothing through before its time, a half-open one a single trial."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now, self.trials = Breaker(), 0.0, 0

    @rule(wait=st.floats(0, 20), failed=st.booleans(), ready=st.booleans())
    def request(self, wait: float, failed: bool, ready: bool) -> None:
        self.now += wait
        before, opened = self.breaker.state, self.breaker.opened_at
        refused = self.breaker.admit(self.now, ready)
        if before is State.OPEN and not ready and self.now < opened + OPEN_S:
            assert 0 < refused <= OPEN_S
        if refused:
            return
        if self.breaker.state is State.HALF_OPEN:
            assert self.breaker.admit(self.now) > 0
        was = self.breaker.state
        self.breaker.record(self.now, failed)
        if was is State.HALF_OPEN:
            assert self.breaker.state is (State.OPEN if failed else State.CLOSED)


TestBucket: Any = BucketMachine.TestCase
TestQuota: Any = QuotaMachine.TestCase
TestBreaker: Any = BreakerMachine.TestCase
for case in (TestBucket, TestQuota, TestBreaker):
    case.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_breaker_opens_at_half_of_twenty_and_not_for_client_errors() -> None:
    breaker = Breaker()
    opened = [breaker.record(1.0, i % 2 == 1) for i in range(LEAST_REQUESTS)]
    assert opened == [False] * (LEAST_REQUESTS - 1) + [True]
    calm = Breaker()
    assert not any(calm.record(1.0, False) for _ in range(100))
    old = Breaker()
    for _ in range(LEAST_REQUESTS - 1):
        old.record(0.0, True)
    assert not old.record(40.0, True)


def test_a_trial_that_tried_nothing_leaves_the_next_one_to_try() -> None:
    breaker = Breaker()
    for _ in range(LEAST_REQUESTS):
        breaker.record(1.0, True)
    assert breaker.admit(2.0, True) == 0
    assert breaker.admit(2.0, True) > 0
    breaker.untried()
    assert (breaker.state, breaker.admit(2.0)) == (State.HALF_OPEN, 0)


@given(jobs=st.integers(0, 20), lag=st.floats(0, 3), submission=st.booleans())
def test_admission_refuses_for_a_reason_and_says_when_to_come_back(jobs: int, lag: float, submission: bool) -> None:
    refused = admit(Pressure(jobs, lag), submission=submission, most_jobs=10, most_lag_s=1.0)
    assert (refused is not None) == (lag > 1.0 or (submission and jobs >= 10))
    assert refused is None or refused.retry_after_s >= 1


def test_a_ban_is_earned_by_the_last_failure_that_is_one_too_many() -> None:
    assert [earns_ban(count) for count in (0, FAILURES_MOST - 1, FAILURES_MOST)] == [False, False, True]


def test_a_spike_is_told_once_and_only_with_a_history() -> None:
    spike = Spike()
    assert all(spike.add(0) is None for _ in range(5000))
    usual = Spike()
    for minute in range(20):
        for _ in range(20):
            assert usual.add(minute) is None
    told = [times for times in (usual.add(20) for _ in range(400)) if times is not None]
    assert told == [10]


def test_linked_accounts_and_the_ladder() -> None:
    address, payment = SignalKind.ADDRESS, SignalKind.PAYMENT
    assert breach(address, "b", "free", {"a": "free"}) == Breach("free-accounts", ("a",))
    assert breach(address, "b", "free", {"a": "pro"}) is None
    assert breach(address, "b", "pro", {"a": "free"}) is None
    assert breach(payment, "d", "pro", {"a": "pro", "b": "pro"}) is None
    assert breach(payment, "d", "pro", {"a": "pro", "b": "pro", "c": "free"}) == Breach(
        "payment-accounts", ("a", "b", "c")
    )
    step, climbed = Step.NONE, []
    for _ in range(5):
        step = next_step(step)
        climbed.append(step)
    assert climbed == [Step.WARNING, Step.MERGE, Step.SUSPENSION, Step.BAN, Step.BAN]
