"""How many submissions are let in: what a process can answer in time, and each tenant its share of it."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from simulator.policy.capacity import (
    CROWDED,
    LEAST,
    STANDING_LEAST,
    STANDING_OF,
    STANDING_WAIT_S,
    STEP_S,
    Capacity,
)


def served(rate: float, offered: dict[str, float], seconds: float, wait_s: float = 0.25) -> dict[str, list[float]]:
    """The waits of what was let in, by tenant, of a server that answers so many a second in the order of arrival."""
    capacity, waits = Capacity(wait_s), {tenant: list[float]() for tenant in offered}
    arrivals = sorted((n / per_s, tenant) for tenant, per_s in offered.items() for n in range(int(per_s * seconds)))
    answers: list[tuple[float, str]] = []
    free_at = 0.0
    for at, tenant in arrivals:
        while answers and answers[0][0] <= at:
            ended, whose = heapq.heappop(answers)
            capacity.end(whose, ended)
        if capacity.begin(tenant, at) is None:
            free_at = max(free_at, at) + 1 / rate
            heapq.heappush(answers, (free_at, tenant))
            waits[tenant].append(free_at - at)
    return waits


def test_an_idle_process_takes_a_burst() -> None:
    capacity = Capacity(0.25)
    assert [capacity.begin("a", 100.0) for _ in range(LEAST)] == [None] * LEAST
    refused = capacity.begin("a", 100.0)
    assert refused is not None
    assert refused.retry_after_s == 1


def test_far_above_what_it_can_do_what_is_let_in_waits_no_longer_than_was_said() -> None:
    waits = served(2_000, {"a": 10_000}, 10)["a"]
    assert max(waits) <= 0.5
    assert len(waits) > 0.95 * 2_000 * 10, "and it does all that it can"


def test_a_crowd_that_stays_waits_less_than_one_that_passes_and_is_forgotten_when_it_has_gone() -> None:
    capacity, now, inside = Capacity(0.25), 0.0, 0
    for number in range(4 * 10_000):
        now = number / 10_000
        inside += capacity.begin("a", now) is None
        if number % 5 == 0 and inside:
            capacity.end("a", now)
            inside -= 1
    assert capacity.limit == max(STANDING_LEAST, round(2_000 * STANDING_WAIT_S))
    for _ in range(inside):
        capacity.end("a", now)
    for step in range(1, STANDING_OF + 2):
        assert capacity.begin("a", now + step * STEP_S) is None
        capacity.end("a", now + step * STEP_S)
    assert capacity.limit >= 2_000 * 0.25


def test_refusals_of_a_moment_are_no_crowd_that_stays() -> None:
    capacity = Capacity(0.25)
    for step in range(40):
        now = step * STEP_S
        # Every second one burst that is too large.
        let_in = sum(capacity.begin("a", now) is None for _ in range(LEAST + 50 if step % 4 == 0 else 10))
        for _ in range(let_in):
            capacity.end("a", now)
        assert capacity.limit >= LEAST


def test_a_quick_process_lets_more_in() -> None:
    capacity, now = Capacity(0.25), 0.0
    for number in range(40_000):
        now = number / 8_000
        assert capacity.begin("a", now) is None
        capacity.end("a", now)
    assert capacity.limit == 2_000
    capacity.begin("a", now + 60)
    assert capacity.limit == LEAST, "what was long ago does not count"


def test_below_what_it_can_do_nobody_is_refused() -> None:
    offered = {"a": 300.0, "b": 500.0}
    waits = served(1_000, offered, 20)
    assert {tenant: len(seen) for tenant, seen in waits.items()} == {"a": 6_000, "b": 10_000}


def test_a_flood_of_one_tenant_makes_another_wait_little_and_keeps_it_out_never() -> None:
    waits = served(1_000, {"flood": 8_000.0, "calm": 20.0}, 20)
    assert len(waits["calm"]) == 400
    assert max(waits["calm"]) <= CROWDED * LEAST / 1_000 + 0.05, "at first an idle process takes a burst"
    assert max(waits["calm"][20:]) <= 0.25 * CROWDED + 0.05
    assert len(waits["flood"]) > 0.9 * 20 * (1_000 - 20)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=300))
def test_what_is_under_way_is_counted_right_whatever_comes(acts: list[tuple[str, int]]) -> None:
    capacity, inside, now = Capacity(0.25, least=8), list[str](), 0.0
    for tenant, step in acts:
        now += step / 100
        if step % 3 and inside:
            capacity.end(inside.pop(), now)
        elif capacity.begin(tenant, now) is None:
            inside.append(tenant)
        assert len(inside) <= 2 * capacity.limit
    for tenant in inside:
        capacity.end(tenant, now)
    assert all(capacity.begin("z", now) is None for _ in range(int(CROWDED * capacity.limit)))
