"""Durations and moments as people write them."""

from __future__ import annotations

import pytest

from zjops.cli.times import DAY_MS, duration_ms, moment_ms
from zjops.domain.clock import parse_rfc3339, rfc3339
from zjops.domain.errors import UsageError

NOW = parse_rfc3339("2026-11-26T14:10:00Z")


@pytest.mark.parametrize(
    ("text", "wanted"), [("90s", 90_000), ("1.5h", 5_400_000), ("10m", 600_000), ("2d", 2 * DAY_MS), ("5ms", 5)]
)
def test_a_duration(text: str, wanted: int) -> None:
    assert duration_ms(text, "--for") == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("14:05", "2026-11-26T14:05:00.000Z"),
        ("9:05:07", "2026-11-26T09:05:07.000Z"),
        ("23:59", "2026-11-25T23:59:00.000Z"),
        ("-10m", "2026-11-26T14:00:00.000Z"),
        ("2026-11-26T15:05:00+01:00", "2026-11-26T14:05:00.000Z"),
    ],
)
def test_a_moment(text: str, wanted: str) -> None:
    assert rfc3339(moment_ms(text, NOW, "--at")) == wanted


@pytest.mark.parametrize("text", ["", "5", "m", "0s", "-5m", "5 m", "5w", "1" * 50 + "s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="--for is a duration"):
        duration_ms(text, "--for")


@pytest.mark.parametrize("text", ["soon", "25:00", "14:60", "2026-11-26", "2026-11-26T14:05:00", "-soon"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match="--at is a"):
        moment_ms(text, NOW, "--at")
