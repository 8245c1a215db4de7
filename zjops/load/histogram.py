"""Counts by value in the buckets of an HDR histogram of three digits; only the buckets that hold something are kept.

The buckets are those of HdrHistogram with three significant digits from 1 microsecond on, so that no value is off by
more than one in a thousand, and its files and ours say the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

DIGITS = 3
BITS = 11
"""2,048 buckets before their width doubles: the power of two that three digits need."""


def bucket_of(us: int) -> int:
    """The lowest value of the bucket that a value falls into."""
    shift = us.bit_length() - BITS
    return us if shift <= 0 else us >> shift << shift


def highest_of(bucket: int) -> int:
    """The highest value that falls into a bucket."""
    shift = bucket.bit_length() - BITS
    return bucket if shift <= 0 else bucket + (1 << shift) - 1


class Histogram:
    """Times in microseconds."""

    __slots__ = ("counts", "total")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})
        self.total = sum(self.counts.values())

    @classmethod
    def of(cls, values: Iterable[int]) -> Histogram:
        """The histogram of single values."""
        made = cls()
        for value in values:
            made.add(value)
        return made

    def add(self, us: int, count: int = 1) -> None:
        """Count a value."""
        bucket = bucket_of(max(0, us))
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += count

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add the buckets of another."""
        for bucket, count in counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
            self.total += count

    def percentile(self, percent: float) -> int | None:
        """The value that so many of a hundred do not exceed (nearest rank); None where there is none."""
        rank = max(1, math.ceil(round(self.total * percent / 100, 6)))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return highest_of(bucket)
        return None

    def ms(self, percent: float) -> float | None:
        """A percentile in milliseconds."""
        found = self.percentile(percent)
        return None if found is None else found / 1000

    def mean_us(self) -> float | None:
        """The mean of the buckets' middles."""
        if not self.total:
            return None
        return sum((bucket + highest_of(bucket)) / 2 * count for bucket, count in self.counts.items()) / self.total

    def beyond(self, us: int) -> int:
        """How many lie above a value, to within a bucket."""
        return sum(count for bucket, count in self.counts.items() if bucket > us)
