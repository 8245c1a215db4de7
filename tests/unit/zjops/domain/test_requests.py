"""What a second of requests says, and how many of them were quick enough."""

from __future__ import annotations

from bisect import bisect_left

import pytest

from zjops.domain.events import STREAMS
from zjops.domain.requests import LATENCY_BOUNDS_MS, TELEMETRY_HTTP, Rollup, rollup_of


def _rollup(status: int, *latencies_ms: float) -> Rollup:
    counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    for latency in latencies_ms:
        counts[bisect_left(LATENCY_BOUNDS_MS, latency)] += 1
    return rollup_of(counts, second=7, process="api", route="/v1/jobs", method="GET", status=status, plan="pro")


def test_shares_within_300_and_500_ms_are_counted_to_the_millisecond() -> None:
    found = _rollup(200, 1, 299.999, 300, 300.001, 500, 500.001, 9_999)
    assert (found.count, found.within_300ms, found.within_500ms) == (7, 3, 5)
    assert sum(found.latency_ms_histogram) == 7


@pytest.mark.parametrize(
    ("status", "latency", "wanted"),
    [
        (200, 10_000, (0, 0)), (200, 10_001, (0, 1)), (503, 1, (1, 0)), (503, 20_000, (1, 0)), (404, 20_000, (0, 1)),
        (0, 1, (0, 1)), (408, 1, (0, 1)), (429, 1, (0, 0)),
    ],
    ids=[
        "ten seconds are still an answer", "more are none", "an error of ours", "a slow one counts as bad once",
        "slow is slow whatever it says", "no answer at all", "given up", "a refusal is no error",
    ],
)  # fmt: skip
def test_what_is_bad_counts_once(status: int, latency: float, wanted: tuple[int, int]) -> None:
    found = _rollup(status, latency)
    assert (found.errors_5xx, found.timeouts) == wanted


@pytest.mark.parametrize("status", [101, 204, 304, 404, 503])
def test_only_answers_of_200_to_299_can_be_quick(status: int) -> None:
    assert _rollup(status, 1).within_300ms == (1 if status == 204 else 0)


def test_a_stream_carries_them() -> None:
    assert any(TELEMETRY_HTTP in stream.subjects for stream in STREAMS)
