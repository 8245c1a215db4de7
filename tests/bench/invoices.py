"""`python -m tests.bench.invoices`: what pricing a hundred million events costs, against one grouping of the same log.

The log is the one that `simulator.world.volume` makes, of 10,000 tenants over a month, about 3 GB in the folder for
temporary files. Both sides run in turn in one process on the same warm files, twice a round, and each counts by its
faster run, since a machine that others use slows some. What is held against the bar is the median of the rounds'
ratios, and the peak of the process's resident memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from simulator.world.volume import Made, make, volume
from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import SystemClock, month_bounds_ms
from zjops.domain.invoices import Invoice
from zjops.domain.plans import price_book

MONTH = "2026-06"
FIRST_MS, AFTER_MS = month_bounds_ms(MONTH)
DAYS, SEED, RUNS = 30, 7, 2
BAR, MEMORY_MB = 1.5, 4_096
BASELINE = """SELECT tenant, plan, sum(compute_units), count(*) FROM events
    WHERE type IN ('completed', 'failed', 'cancelled') GROUP BY ALL"""


CHARGED = "SELECT sum(compute_units)::BIGINT AS units FROM charged_jobs"


def make_log(folder: Path, events: int, tenants: int) -> None:
    """Make a log of about so many events of a month in `folder`, below `log`."""

    def heard(made: Made) -> None:
        print(f"\rmaking {made.events:,} of {events:,} events", end="", file=sys.stderr, flush=True)

    report = make(volume(str(events), DAYS, tenants, SEED, FIRST_MS), folder, SystemClock(), heard)
    print(f" ({report['bytes'] / 1e9:.1f} GB) in {report['seconds']:.0f} s", file=sys.stderr)


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(folder: Path, rounds: int) -> list[float]:
    """The ratio of each round: all invoices of the month of a log against the baseline."""
    book, ratios = price_book(), []
    with Warehouse(folder, memory="3GB", threads=2) as warehouse:

        def invoices() -> list[Invoice]:
            return draft_invoices(read_month(warehouse, MONTH, book, now_ms=AFTER_MS), book)

        def baseline() -> None:
            warehouse.ask(BASELINE)

        # The first run warms the files, and shows that what is measured is right.
        assert sum(invoice.units.total for invoice in invoices()) == warehouse.ask(CHARGED)[0]["units"]
        for number in range(1, rounds + 1):
            runs = [(_timed(baseline), _timed(invoices)) for _ in range(RUNS)]
            one, two = (min(side) for side in zip(*runs, strict=True))
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
        # In a process of its own: what making it takes is not what pricing it takes.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(make_log, Path(name), asked.events, asked.tenants).result()
        ratio = statistics.median(measure(Path(name) / "log", asked.rounds))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    holds = ratio <= BAR and memory < MEMORY_MB
    print(
        f"{asked.events:,} events of {asked.tenants:,} tenants: ratio {ratio:.2f} (median of {asked.rounds}, bar "
        f"{BAR}), peak memory {memory:,} MB (bar {MEMORY_MB:,}): {'holds' if holds else 'is missed'}"
    )
    raise SystemExit(0 if holds else 1)


if __name__ == "__main__":
    main()
