"""The relayer's pure rules: when a batch closes, what is offered, when it holds off, what is final."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.policy.backoff import FAILURES, MOST_S, BackOff
from simulator.policy.batching import Batching, By, batch_due, confirmations, waited_s
from simulator.policy.fees import Fees, gas_limit, offer, replacement
from zjops.domain.chains import Finality, parse_finality
from zjops.domain.errors import UsageError

WEI = st.integers(0, 10**15)


@pytest.mark.parametrize(
    ("by", "waiting", "waited", "due"),
    [
        ("both", 0, 100, False), ("both", 999, 4, False), ("both", 1000, 0, True), ("both", 1, 5, True),
        ("count", 999, 1e9, False), ("count", 1000, 0, True), ("age", 1000, 4, False), ("age", 1, 5, True),
        ("age", 0, 5, False),
    ],
)  # fmt: skip
def test_a_batch_closes_by_count_by_age_or_by_both(by: By, waiting: int, waited: float, due: bool) -> None:
    assert batch_due(Batching(1000, 5, by), waiting, waited) is due


def test_a_clock_that_is_ahead_does_not_hold_a_batch_back() -> None:
    assert waited_s(10_000, 12_000, 0.5) == 2.0
    assert waited_s(3_600_000, 0, 5.0) == 5.0
    assert waited_s(None, 0, 0.0) == 0.0


def test_confirmations_count_the_block_itself() -> None:
    assert [confirmations(10, block) for block in (11, 10, 8)] == [0, 1, 3]


@given(WEI, WEI, WEI)
def test_an_offer_can_be_mined_now_and_never_passes_the_ceiling(base: int, tip: int, ceiling: int) -> None:
    fees = offer(base, tip, ceiling)
    if fees is None:
        assert base + tip > ceiling
    else:
        assert base + tip <= fees.max_fee <= ceiling
        assert fees.max_tip == tip


@given(WEI, WEI, WEI, WEI, WEI)
def test_a_replacement_is_taken_by_every_node_or_not_made(
    former_fee: int, former_tip: int, base: int, tip: int, ceiling: int
) -> None:
    former = Fees(max(former_fee, former_tip), former_tip)
    fees = replacement(former, base, tip, ceiling)
    if fees is not None:
        assert base + tip <= fees.max_fee <= ceiling
        assert fees.max_tip <= fees.max_fee
        for fresh, old in zip(fees, former, strict=True):
            assert 100 * fresh >= 110 * old
            assert fresh > old


@given(st.integers(1, 10**9), st.integers(0, 10**6), st.integers(1, 60))
def test_raising_by_a_tenth_comes_to_an_end_at_the_ceiling(base: int, tip: int, factor: int) -> None:
    ceiling = factor * (base + tip)
    fees, rounds = offer(base, tip, ceiling), 0
    while fees is not None:
        fees, rounds = replacement(fees, base, tip, ceiling), rounds + 1
        assert rounds < 500


def test_gas_has_a_margin() -> None:
    assert gas_limit(100_000) == 120_000


def test_the_breaker_holds_off_after_three_failures_twice_as_long_each_time_and_at_most_half_a_minute() -> None:
    breaker, now, waits = BackOff(1.0), 0.0, []
    for _ in range(10):
        breaker.failed(now)
        waits.append(breaker.wait_s(now))
        now += waits[-1]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert breaker.open
    breaker.succeeded()
    assert not breaker.open
    assert breaker.wait_s(now) == 0


@given(st.lists(st.booleans(), max_size=200))
def test_the_breaker_never_waits_longer_than_its_most_and_never_before_its_third(outcomes: list[bool]) -> None:
    breaker, row = BackOff(0.5), 0
    for failed in outcomes:
        if failed:
            breaker.failed(0.0)
            row += 1
        else:
            breaker.succeeded()
            row = 0
        assert (breaker.wait_s(0.0) > 0) is (row >= FAILURES)
        assert breaker.wait_s(0.0) <= MOST_S


@pytest.mark.parametrize(
    ("text", "found"),
    [("depth:3", Finality(3)), ("depth:1", Finality(1)), ("safe", Finality(1, "safe")),
     ("finalized", Finality(1, "finalized")), ("tag:finalized", Finality(1, "finalized"))],
)  # fmt: skip
def test_finality_is_read(text: str, found: Finality) -> None:
    assert parse_finality(text) == found
    assert parse_finality(found.text) == found


@pytest.mark.parametrize("text", ["", "depth:0", "depth:x", "depth:99999", "latest", "tag:latest", "3"])
def test_any_other_word_for_finality_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="finality"):
        parse_finality(text)


def test_finality_by_depth_counts_blocks_and_by_tag_asks_the_chain() -> None:
    assert not Finality(3).reached(10, 11, 99)
    assert Finality(3).reached(10, 12, 0)
    assert not Finality(1, "finalized").reached(10, 99, 9)
    assert Finality(1, "finalized").reached(10, 99, 10)
