"""The relayer's pure rules: when a batch closes, what is offered, when it holds off, what is final."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.policy.backoff import FAILURES, MOST_S, BackOff
from simulator.policy.batching import Batching, By, batch_due, waited_s
from simulator.policy.fees import Fees, covers, gas_limit, offer, replacement
from simulator.policy.sticking import Stood, may_raise
from zjops.domain.chains import Finality, parse_finality
from zjops.domain.errors import UsageError

WEI = st.integers(0, 10**15)
GWEI = 10**9


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


@given(WEI, WEI, WEI, WEI)
def test_an_offer_can_be_mined_now_and_never_passes_the_most(base: int, tip: int, fee: int, most_tip: int) -> None:
    most = Fees(fee, most_tip)
    fees, wanted = offer(base, tip, most), min(tip, most_tip // 2)
    if fees is None:
        assert base + wanted > fee
    else:
        assert base + wanted <= fees.max_fee <= fee
        assert fees.max_tip == wanted


@given(WEI, WEI, WEI, WEI, WEI, WEI)
def test_a_replacement_is_taken_by_every_node_or_not_made(
    former_fee: int, former_tip: int, base: int, tip: int, fee: int, most_tip: int
) -> None:
    former, most = Fees(max(former_fee, former_tip), former_tip), Fees(fee, most_tip)
    fees = replacement(former, base, tip, most)
    if fees is not None:
        assert base + min(tip, most_tip // 2) <= fees.max_fee <= fee
        assert fees.max_tip <= min(fees.max_fee, most_tip)
        for fresh, old in zip(fees, former, strict=True):
            assert 100 * fresh >= 110 * old
            assert fresh > old


@given(st.integers(1, 10**9), st.integers(0, 10**6), st.integers(1, 60))
def test_raising_by_a_tenth_comes_to_an_end_at_the_most(base: int, tip: int, factor: int) -> None:
    most = Fees(factor * (base + tip), factor * (base + tip))
    fees, rounds = offer(base, tip, most), 0
    while fees is not None:
        fees, rounds = replacement(fees, base, tip, most), rounds + 1
        assert rounds < 500


def test_a_tip_has_a_most_of_its_own_and_begins_with_room_below_it() -> None:
    most, fees, rounds = Fees(10**12, 10 * GWEI), offer(GWEI, 400 * GWEI, Fees(10**12, 10 * GWEI)), 0
    assert fees == Fees(7 * GWEI, 5 * GWEI)
    while (more := replacement(fees, GWEI, 400 * GWEI, most)) is not None:
        fees, rounds = more, rounds + 1
    assert rounds == 7
    assert 9 * GWEI < fees.max_tip <= 10 * GWEI


@pytest.mark.parametrize(
    ("standing", "enough"),
    [
        (Fees(3 * GWEI, GWEI), True), (Fees(213 * GWEI // 100, GWEI), True), (Fees(212 * GWEI // 100, GWEI), False),
        (Fees(GWEI, GWEI), False), (Fees(9 * GWEI, GWEI // 2), False),
    ],
    ids=["twice the base fee", "an eighth more", "less than that", "not even the base fee", "too small a tip"],
)  # fmt: skip
def test_an_offer_covers_when_it_is_good_for_the_next_block_too(standing: Fees, enough: bool) -> None:
    assert covers(standing, GWEI, GWEI, Fees(500 * GWEI, 50 * GWEI)) is enough


def test_an_offer_covers_with_the_first_tip_that_the_most_allows() -> None:
    assert covers(Fees(90 * GWEI, 25 * GWEI), GWEI, 400 * GWEI, Fees(500 * GWEI, 50 * GWEI))


@pytest.mark.parametrize(
    ("seconds", "blocks", "stuck"), [(30, 3, True), (29, 99, False), (10**6, 2, False), (30, -5, False)]
)
def test_only_what_blocks_pass_over_for_so_long_is_stuck(seconds: float, blocks: int, stuck: bool) -> None:
    assert Stood(seconds, blocks).long_enough(30.0) is stuck


@pytest.mark.parametrize(
    ("good", "passed_over", "too_low", "more"),
    [(True, False, False, False), (True, True, False, True), (True, False, True, True), (False, False, False, True)],
    ids=["lost though good enough", "passed over", "called too low", "too low by our own reckoning"],
)
def test_more_is_offered_only_where_it_can_help(good: bool, passed_over: bool, too_low: bool, more: bool) -> None:
    assert may_raise(covers=good, passed_over=passed_over, too_low=too_low) is more


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
