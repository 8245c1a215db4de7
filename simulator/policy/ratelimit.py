"""A token bucket as a pure function: state and time in, state and decision out."""

from __future__ import annotations

import math
from typing import NamedTuple


class Bucket(NamedTuple):
    """Tokens at a moment (Unix ms)."""

    tokens: float
    at_ms: int


class RateDecision(NamedTuple):
    """Whether a request may pass, whole tokens left, seconds until the next token and until the bucket is full."""

    allowed: bool
    remaining: int
    retry_after_s: int
    reset_s: int


def take(bucket: Bucket | None, rate: float, capacity: float, now_ms: int) -> tuple[Bucket, RateDecision]:
    """Take one token. At most `rate * seconds + capacity` requests pass in any span; time that goes back adds none."""
    had, at = (capacity, now_ms) if bucket is None else bucket
    now = now_ms if now_ms > at else at
    tokens = had + (now - at) / 1000 * rate
    if tokens > capacity:
        tokens = capacity
    allowed = tokens >= 1
    left = tokens - 1 if allowed else tokens
    wait = 0 if left >= 1 else max(1, math.ceil((1 - left) / rate))
    return Bucket(left, now), RateDecision(allowed, int(left), wait, math.ceil((capacity - left) / rate))
