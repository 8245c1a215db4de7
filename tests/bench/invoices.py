"""`python -m tests.bench.invoices`: what pricing a hundred million events costs, against one grouping of the same log.

The log is synthetic, of four events a job and 10,000 tenants over a month; its ids are left out, which neither side
reads. Both statements run in turn on the same warm files; what counts is the median of the rounds' ratios, and the peak
of the process's resident memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from simulator.metering import EVENT_SCHEMA
from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms
from zjops.domain.plans import price_book

MONTH = "2026-06"
FIRST_MS, AFTER_MS = month_bounds_ms(MONTH)
DAYS = 30
BAR, MEMORY_MB = 1.5, 4_096
BASELINE = """SELECT tenant, plan, sum(compute_units), count(*) FROM events
    WHERE type IN ('completed', 'failed', 'cancelled') GROUP BY ALL"""
MADE = {
    "stream_seq": "s", "outbox_no": "s", "accepted_at": "{first} + (s // 4 * 4 * {span} // {events})",
    "time": "{first} + (s * {span} // {events})", "tenant": "'tenant-' || owner",
    "type": "['submitted', 'processing', 'completed', 'confirmed'][(1 + s % 4)::BIGINT]",
    "status": "['pending', 'processing', 'completed', 'completed'][(1 + s % 4)::BIGINT]",
    "plan": "['free', 'starter', 'pro', 'enterprise'][(1 + owner % 4)::BIGINT]", "job_type": "'compute_heavy'",
    "compute_units": "(100 + draw % 900)", "payload_bytes": "200", "attempt": "1", "processing_ms": "5",
    "charge": "CASE WHEN s % 4 < 2 THEN 'held' WHEN draw % 20 = 0 THEN 'released' ELSE 'charged' END",
}  # fmt: skip
"""How each column follows from a row's number `s`, its job's `draw` and the job's `owner`; all others are empty."""
TYPES = {"String": "VARCHAR", "Int64": "BIGINT", "Int32": "INTEGER", "Binary": "BLOB"}


def make_log(folder: Path, events: int, tenants: int) -> None:
    """A log of so many events, a file a day."""
    database = duckdb.connect(config={"memory_limit": "2GB", "threads": 2})
    columns = ", ".join(
        f"({MADE[name].format(first=FIRST_MS, span=AFTER_MS - FIRST_MS, events=events) if name in MADE else 'NULL'})"
        f'::{TYPES[type(kind).__name__]} AS "{name}"'
        for name, kind in EVENT_SCHEMA.items()
    )
    for day in range(DAYS):
        first, last = events * day // DAYS + 1, events * (day + 1) // DAYS
        path = folder / "events" / f"date={MONTH}-{day + 1:02d}" / f"events-{first:020d}-{last:020d}.parquet"
        path.parent.mkdir(parents=True)
        database.execute(f"""COPY (SELECT {columns} FROM (
            SELECT s, hash(s // 4, 'draw') AS draw, hash(s // 4) % {tenants} AS owner
            FROM range({first}, {last + 1}) r(s)
        )) TO '{path}' (FORMAT parquet, COMPRESSION zstd)""")
        print(f"\rmaking {last:,} of {events:,} events", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    database.close()


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(folder: Path, rounds: int) -> list[float]:
    """The ratio of each round: all invoices of the month against the baseline."""
    book, ratios = price_book(), []
    with Warehouse(folder, memory="3GB", threads=2) as warehouse:

        def invoices() -> None:
            found = read_month(warehouse, MONTH, book, now_ms=AFTER_MS)
            made = draft_invoices(found, book)
            assert all(invoice.jobs for invoice in made)

        def baseline() -> None:
            warehouse.ask(BASELINE)

        _timed(baseline), _timed(invoices)
        for number in range(1, rounds + 1):
            one, two = _timed(baseline), _timed(invoices)
            ratios.append(two / one)
            print(f"round {number}: baseline {one:.2f} s, invoices {two:.2f} s, ratio {two / one:.2f}")
    return ratios


def main() -> None:
    """Print each round, the median ratio and the peak memory; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zjops-bench-") as name:
        make_log(Path(name), asked.events, asked.tenants)
        ratio = statistics.median(measure(Path(name), asked.rounds))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    holds = ratio <= BAR and memory < MEMORY_MB
    print(
        f"{asked.events:,} events of {asked.tenants:,} tenants: ratio {ratio:.2f} (median of {asked.rounds}, bar "
        f"{BAR}), peak memory {memory:,} MB (bar {MEMORY_MB:,}): {'holds' if holds else 'is missed'}"
    )
    raise SystemExit(0 if holds else 1)


if __name__ == "__main__":
    main()
