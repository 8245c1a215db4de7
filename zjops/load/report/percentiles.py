"""Percentile tables: HdrHistogram's own (`.hgrm`, which its plotter reads) and the one that wrk2 prints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from zjops.load.histogram import BITS, Histogram, highest_of

TICKS = 5
"""Rows for each halving of the distance to 100 %."""
WRK = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0)


def rows(times: Histogram) -> Iterator[tuple[float, float, int]]:
    """Value in ms, percentile as a share, and how many do not exceed it; denser the nearer to 100 %."""
    if not times.total:
        return
    seen, wanted = 0, 0.0
    for bucket in sorted(times.counts):
        seen += times.counts[bucket]
        share = seen / times.total
        # Shares that are sums of parts miss a whole rank by less than this.
        while wanted <= share + 1e-12 and wanted < 1.0:
            yield highest_of(bucket) / 1000, wanted, seen
            halvings = math.floor(math.log2(1 / (1 - wanted))) + 1
            wanted += 1 / (TICKS * 2**halvings)
            if 1 - wanted < 1 / (times.total * 2):
                break
    yield highest_of(max(times.counts)) / 1000, 1.0, times.total


def hgrm(times: Histogram) -> str:
    """The percentile distribution as HdrHistogram writes it, in milliseconds."""
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for value, share, seen in rows(times):
        last = f" {1 / (1 - share):14.2f}" if share < 1 else ""
        lines.append(f"{value:12.3f} {share:2.12f} {seen:10d}{last}")
    return "\n".join([*lines, *_foot(times)]) + "\n"


def _foot(times: Histogram) -> list[str]:
    mean = (times.mean_us() or 0.0) / 1000
    spread = sum(count * ((bucket + highest_of(bucket)) / 2000 - mean) ** 2 for bucket, count in times.counts.items())
    deviation = math.sqrt(spread / times.total) if times.total else 0.0
    highest = times.ms(100) or 0.0
    return [
        f"#[Mean    = {mean:12.3f}, StdDeviation   = {deviation:12.3f}]",
        f"#[Max     = {highest:12.3f}, TotalCount     = {times.total:12d}]",
        f"#[Buckets = {12:12d}, SubBuckets     = {1 << BITS:12d}]",
    ]


def wrk_table(times: Histogram) -> str:
    """What wrk2 prints with `--latency`: times from when each request was due."""
    head = "  Latency Distribution (HdrHistogram - Recorded Latency)"
    return "\n".join([head, wrk_lines(times), "", "  Detailed Percentile spectrum:", hgrm(times)])


def wrk_lines(times: Histogram) -> str:
    """Its first table alone: a line each percentile."""
    found = [(percent, times.ms(percent)) for percent in WRK]
    return "\n".join(f"{percent:7.3f}%  {'-' if ms is None else _time(ms):>8}" for percent, ms in found)


def write(times: Histogram, folder: Path) -> None:
    """Both tables into a folder."""
    (folder / "latency.hgrm").write_text(hgrm(times))
    (folder / "latency.txt").write_text(wrk_table(times))


def _time(ms: float) -> str:
    return f"{ms / 1000:.2f}s" if ms >= 1000 else f"{ms:.2f}ms" if ms >= 1 else f"{ms * 1000:.2f}us"
