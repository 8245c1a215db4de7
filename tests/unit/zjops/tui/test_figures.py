"""Numbers as they are shown: short, never rounded to what they are not, and as wide as asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from zjops.domain.requests import LATENCY_BOUNDS_MS
from zjops.tui.figures import (
    bar,
    below_ms,
    cell,
    chart,
    clock,
    coin,
    dollars,
    fitted,
    jobs,
    percent,
    rate,
    short,
    span,
    sparkline,
)


@pytest.mark.parametrize(
    ("ms", "wanted"),
    [
        (None, "–"), (-5, "0 ms"), (0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (9_949, "9.9 s"), (59_000, "59 s"),
        (119_999, "120 s"), (120_000, "2.0 m"), (3_600_000, "60 m"), (7_200_000, "2.0 h"), (172_800_000, "2 d"),
        (86_400_000 * 4_000, "4,000 d"),
    ],
)  # fmt: skip
def test_durations(ms: int | None, wanted: str) -> None:
    assert span(ms) == wanted


@pytest.mark.parametrize(
    ("part", "whole", "wanted"),
    [
        (0, 0, "–"), (0, 5, "0 %"), (5, 5, "100 %"), (1, 2, "50.0 %"), (999, 1_000, "99.9 %"),
        (99_999, 100_000, "99.999 %"), (9_999_999, 10_000_000, "> 99.999 %"), (1, 10_000_000, "< 0.001 %"),
    ],
)  # fmt: skip
def test_shares(part: int, whole: int, wanted: str) -> None:
    assert percent(part, whole) == wanted


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_only_all_is_a_hundred_percent(part: int, whole: int) -> None:
    part = min(part, whole)
    assert (percent(part, whole) == "100 %") == (part == whole)
    assert (percent(part, whole) == "0 %") == (part == 0)


@given(st.text(max_size=60), st.integers(1, 40), st.booleans())
def test_a_cell_is_as_wide_as_asked_and_obeys_nothing(text: str, width: int, right: bool) -> None:
    made = cell(text, width, right=right)
    assert cell_len(made) == width
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u202e\u2066" for char in made)


@pytest.mark.parametrize(
    ("number", "wanted"),
    [(None, "–"), (9_999, "9,999"), (12_345, "12.3k"), (123_456, "123k"), (999_960, "1.0M"), (10**9, "1.0G"),
     (3 * 10**12, "3T")],
)  # fmt: skip
def test_short_numbers(number: int | None, wanted: str) -> None:
    assert short(number) == wanted


@given(st.integers(0, 10**14))
def test_short_numbers_are_short(number: int) -> None:
    assert len(short(number)) <= 6


def test_rates_money_and_moments() -> None:
    assert [rate(x) for x in (None, 0, 0.034, 4.25, 1_204.4)] == ["–", "0", "0.03", "4.2", "1,204"]
    assert [coin(x) for x in (None, 5, 10**9, 14_727 * 10**9, 48 * 10**18)] == [
        "–", "5 wei", "0.000000001", "0.000014727", "48.000",
    ]  # fmt: skip
    assert [dollars(x) for x in (0, 990, 2_900, 99_000_000)] == ["$0.00", "$0.00099", "$0.0029", "$99.00"]
    assert (clock(None), clock(0), clock(0, date=True)) == ("–", "00:00:00Z", "1970-01-01 00:00:00Z")
    assert (clock(2**63 - 1), clock(-(2**63))) == ("no time", "no time")
    assert (jobs(1), jobs(1_200)) == ("1 job", "1,200 jobs")


@given(st.lists(st.floats(0, 1e6), max_size=300), st.integers(0, 100))
def test_a_sparkline_is_as_wide_as_asked_and_its_top_is_full(values: list[float], width: int) -> None:
    made = sparkline(values, width)
    assert len(made) == width
    shown = values[-width:] if width else []
    if max(shown, default=0) > 0:
        assert made[width - len(shown) + shown.index(max(shown))] == "█"


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.integers(1, 100))
def test_what_is_put_together_keeps_its_sum(values: list[int], width: int) -> None:
    made = fitted([float(value) for value in values], width)
    assert len(made) == width
    if len(values) > width:
        assert sum(made) == sum(values)


def test_a_chart_grows_from_below() -> None:
    assert chart([0, 1, 4, 8], 2, 8) == ["   █", " ▂██"]
    assert chart([1], 4, 1_000_000) == [" ", " ", " ", "▁"]
    assert chart([0, 0], 1, 0) == ["  "]


def test_bars() -> None:
    assert [bar(share, 4) for share in (-1, 0, 0.5, 1, 7)] == ["░░░░", "░░░░", "██░░", "████", "████"]


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [({0: 95, 5: 5}, 5), ({0: 94, 5: 6}, 100), ({}, None), ({15: 1}, None), ({7: 3}, 300)],
    ids=["95 of 100 within 5 ms", "94 of 100 are not enough", "no answer", "all beyond 10 s", "all within 300 ms"],
)
def test_the_bound_of_a_percentile(counts: dict[int, int], wanted: int | None) -> None:
    histogram = [counts.get(index, 0) for index in range(len(LATENCY_BOUNDS_MS) + 1)]
    assert below_ms(histogram, 95) == wanted
