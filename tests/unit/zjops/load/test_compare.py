"""Comparing: a block bootstrap that knows what it does not know."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.zjops.load.made import run, scenario, steady, tick
from zjops.load.compare import Made, _Side, blocks_of, compare, doubts
from zjops.load.compared import junit, rows
from zjops.load.histogram import Histogram
from zjops.load.scenario import Phase


def made(number: int, scale: float = 1.0, *, spread: float = 0.0, seed: int = 0, **changes: object) -> Made:
    """A run of six blocks whose times are lognormal; `spread` moves each block as a whole."""
    chance = random.Random(f"{number} {seed}")
    blocks = []
    for _ in range(6):
        moved = scale * (1 + spread * chance.uniform(-1, 1))
        blocks.append(Histogram.of(int(1e4 * moved * chance.lognormvariate(0, 0.5)) for _ in range(400)))
    return Made(**{"name": f"run-{number}", "began_ms": number, "trusted": True, "scenario": "s", "blocks": blocks}
                | changes)  # fmt: skip


def sides(scale: float, count: int = 3, spread: float = 0.0) -> tuple[list[Made], list[Made]]:
    first = [made(2 * number, spread=spread) for number in range(count)]
    return first, [made(2 * number + 1, scale, spread=spread) for number in range(count)]


def test_what_is_half_again_as_slow_is_a_regression() -> None:
    found = compare(*sides(1.5), seed=1)
    assert found.verdict == "regression"
    assert {change.verdict for change in found.changes} == {"regression"}
    assert all(change.low <= change.ratio <= change.high for change in found.changes)


def test_the_same_is_the_same() -> None:
    found = compare(*sides(1.0, count=8), seed=1)
    assert found.verdict == "same"
    assert all(change.low < 1.1 for change in found.changes)


def test_what_is_quicker_is_no_regression() -> None:
    assert compare(*sides(0.6), seed=1).verdict == "same"


def test_what_differs_more_within_a_side_than_between_them_cannot_be_told() -> None:
    assert compare(*sides(1.15, spread=0.8), seed=1).verdict == "cannot tell"


def test_the_margin_decides_what_matters() -> None:
    assert compare(*sides(1.2), seed=1, margin=0.05).verdict == "regression"
    assert compare(*sides(1.2), seed=1, margin=0.5).verdict == "same"


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        pytest.param([0, 2], [1, 3, 5], "the first side has 2 runs", id="two runs are too few"),
        pytest.param([0, 1, 2], [3, 4, 5], "not interleaved", id="one side after the other"),
    ],
)
def test_what_cannot_be_compared(first: list[int], second: list[int], why: str) -> None:
    found = compare([made(n) for n in first], [made(n, 2.0) for n in second], seed=1)
    assert found.verdict == "cannot tell"
    assert any(why in doubt for doubt in found.doubts)


def test_runs_of_other_scenarios_and_untrusted_ones_are_doubted() -> None:
    first, second = sides(1.0)
    assert "is not trusted" in doubts(first, [*second[:2], second[2]._replace(trusted=False)])[0]
    assert "different scenarios" in doubts(first, [*second[:2], second[2]._replace(scenario="t")])[0]
    assert doubts(first, second) == []


def test_nothing_measured_is_no_crash() -> None:
    first, second = sides(1.0)
    assert compare([one._replace(blocks=[]) for one in first], second, seed=1).verdict == "cannot tell"


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(1, 10**7), min_size=1, max_size=40), min_size=1, max_size=6),
       st.sampled_from((50.0, 95.0, 99.0)))  # fmt: skip
def test_percentiles_of_blocks_are_those_of_all_their_times(blocks: list[list[int]], point: float) -> None:
    side = _Side([made(0, blocks=[Histogram.of(block) for block in blocks])])
    whole = Histogram.of(value for block in blocks for value in block)
    assert side.percentile(side.every(), point) == whole.percentile(point)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_side_compared_with_itself_is_the_same_whatever_is_drawn(seed: int) -> None:
    first = [made(2 * number) for number in range(3)]
    again = [one._replace(began_ms=one.began_ms + 1) for one in first]
    found = compare(first, again, seed=seed, draws=200)
    assert found.verdict == "same"
    assert all(change.ratio == 1.0 and change.low <= 1.0 <= change.high for change in found.changes)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.3, 4.0))
def test_a_slower_side_is_found_whatever_is_drawn(seed: int, scale: float) -> None:
    assert compare(*sides(scale), seed=seed, draws=200).verdict == "regression"


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of many comparisons of runs whose median is 1.2 times as long, nearly 95 % have 1.2 in their interval."""
    held = 0
    for number in range(40):
        first = [made(2 * n, spread=0.1, seed=number) for n in range(4)]
        second = [made(2 * n + 1, 1.2, spread=0.1, seed=number) for n in range(4)]
        change = compare(first, second, seed=number, draws=150).changes[0]
        held += change.low <= 1.2 <= change.high
    assert held >= 33


def test_blocks_are_ten_seconds_of_what_counts() -> None:
    (block,) = blocks_of(run(*steady()))
    assert block.total == 10 * 100


def test_a_phase_that_begins_within_a_second_has_no_block_before_it() -> None:
    phases = (Phase(name="warm-up", duration_s=2.5, rate=100, warmup=True), Phase(name="main", duration_s=10, rate=100))
    ticks = [tick(second) for second in range(2, 12)]
    assert len(blocks_of(run(*ticks, of=scenario(phases=phases)))) == 1


def test_documents() -> None:
    found = compare(*sides(1.5), seed=1)
    assert [row["percentile"] for row in rows(found)] == ["p50", "p95", "p99"]
    assert 'failures="3" errors="0"' in junit(found)
    doubtful = compare(*sides(1.5, count=2), seed=1)
    assert 'name="comparable"><error' in junit(doubtful)
