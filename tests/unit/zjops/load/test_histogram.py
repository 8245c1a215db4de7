"""The histogram: the library's own buckets, and percentiles that agree with sorted times."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.load.histogram import Histogram, bucket_of, highest_of
from zjops.load.report.percentiles import hgrm, wrk_table

HOUR = 3_600_000_000
times = st.lists(st.integers(0, HOUR), min_size=1, max_size=300)


def reference(values: list[int], percent: float) -> int:
    """The nearest rank of sorted values."""
    return sorted(values)[max(1, math.ceil(round(len(values) * percent / 100, 6))) - 1]


@given(st.integers(0, HOUR))
def test_buckets_are_those_of_the_library(value: int) -> None:
    hdrh = pytest.importorskip("hdrh.histogram")
    library = hdrh.HdrHistogram(1, HOUR, 3)
    assert bucket_of(value) == library.get_lowest_equivalent_value(value)
    assert highest_of(bucket_of(value)) == library.get_highest_equivalent_value(value)


@given(times, st.sampled_from((0.1, 50.0, 90.0, 99.0, 99.9, 100.0)))
def test_percentiles_lie_within_a_thousandth_of_those_of_sorted_times(values: list[int], percent: float) -> None:
    exact = reference(values, percent)
    found = Histogram.of(values).percentile(percent)
    assert found is not None
    assert exact <= found <= exact + max(1, exact // 1000)


def test_percentiles_agree_with_reference_arithmetic_on_timestamps_within_one_per_cent() -> None:
    chance = random.Random(11)
    due = [number / 500 for number in range(20_000)]
    ended = [at + chance.lognormvariate(-4.5, 0.8) + (0.4 if chance.random() < 0.003 else 0) for at in due]
    exact = [(end - at) * 1e6 for at, end in zip(due, ended, strict=True)]
    found = Histogram.of(int(us) for us in exact)
    for percent in (50, 75, 90, 95, 99, 99.9, 99.99, 100):
        ranked = sorted(exact)[max(1, math.ceil(len(exact) * percent / 100)) - 1]
        assert found.percentile(percent) == pytest.approx(ranked, rel=0.01)


@given(times, times)
def test_merging_is_counting_all_together(one: list[int], other: list[int]) -> None:
    merged = Histogram.of(one)
    merged.merge(Histogram.of(other).counts)
    assert merged.counts == Histogram.of([*one, *other]).counts
    assert merged.total == len(one) + len(other)


@given(times)
def test_what_lies_beyond_a_value(values: list[int]) -> None:
    bound = values[0]
    assert Histogram.of(values).beyond(bound) == sum(bucket_of(value) > bound for value in values)


def test_an_empty_one_has_no_percentile() -> None:
    assert Histogram().percentile(99) is None
    assert Histogram().mean_us() is None
    assert "TotalCount" in hgrm(Histogram())


def test_the_percentile_file_says_what_the_library_says() -> None:
    hdrh = pytest.importorskip("hdrh.histogram")
    chance = random.Random(5)
    values = [int(chance.lognormvariate(9, 1)) for _ in range(5_000)]
    library = hdrh.HdrHistogram(1, HOUR, 3)
    for value in values:
        library.record_value(value)
    lines = [line for line in hgrm(Histogram.of(values)).splitlines()[2:] if not line.startswith("#")]
    assert len(lines) > 30
    for line in lines:
        value, share, seen = line.split()[:3]
        exact = reference(values, float(share) * 100) if float(share) else min(values)
        assert float(value) * 1000 == pytest.approx(library.get_highest_equivalent_value(exact), abs=0.5)
        assert int(seen) == sum(other <= library.get_highest_equivalent_value(exact) for other in values)
    assert float(lines[-1].split()[1]) == 1.0


def test_the_table_of_wrk() -> None:
    text = wrk_table(Histogram.of(range(1_000, 101_000, 1_000)))
    assert " 50.000%   50.02ms" in text
    assert "100.000%  100.03ms" in text
