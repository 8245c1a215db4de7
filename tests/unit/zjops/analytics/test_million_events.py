"""What must hold of every invoice over a million events: lines add up, and neither order nor files nor repeats matter.

Jobs are drawn with a fixed seed, so that a failure repeats; the expected units are counted from the drawn jobs, by
other means than the warehouse's.
"""

import random
from pathlib import Path

import polars as pl
import pytest

from simulator.metering import EVENT_SCHEMA
from zjops.analytics.billing import draft_invoices, read_month
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms
from zjops.domain.invoices import Invoice
from zjops.domain.plans import price_book

JOBS = 500_000
TENANTS = 300
MONTH = "2026-06"
FIRST, AFTER = month_bounds_ms(MONTH)
PLANS = ["free", "starter", "pro", "enterprise"]
BOOK = price_book()


def _jobs() -> pl.DataFrame:
    """Jobs of some months around the one that is billed; a tenth is still on its way, a tenth was released."""
    number = pl.int_range(JOBS, eager=True)
    return pl.DataFrame({"job": number}).with_columns(
        (pl.col("job").hash(1) % TENANTS).cast(pl.Int64).alias("owner"),
        (FIRST - 10**9 + (pl.col("job").hash(2) % (AFTER - FIRST + 2 * 10**9))).cast(pl.Int64).alias("accepted_at"),
        (100 + pl.col("job").hash(3) % 200_000).cast(pl.Int64).alias("compute_units"),
        (pl.col("job").hash(4) % 10).cast(pl.Int64).alias("fate"),
    )


def _events(jobs: pl.DataFrame) -> pl.DataFrame:
    """Two or three events a job, in the order of an outbox."""
    kinds = [("submitted", "held", 0), ("processing", "held", 1), ("completed", "charged", 2)]
    parts = [
        jobs.filter((pl.col("fate") > 0) | (pl.lit(kind) != "completed")).with_columns(
            pl.lit(kind).alias("type"), (pl.col("job") * 4 + step).alias("order"),
            pl.when((pl.lit(charge) == "charged") & (pl.col("fate") == 1)).then(pl.lit("released"))
            .otherwise(pl.lit(charge)).alias("charge"),
        )
        for kind, charge, step in kinds
    ]  # fmt: skip
    owner = pl.col("owner")
    return pl.concat(parts).with_columns(
        pl.format("tenant-{}", owner).alias("tenant"),
        _plan(owner),
        pl.col("job").cast(pl.String).str.pad_start(16, "0").cast(pl.Binary).alias("job_id"),
        pl.col("order").cast(pl.String).str.pad_start(16, "0").cast(pl.Binary).alias("event_id"),
        pl.col("accepted_at").alias("time"), pl.col("type").alias("status"), pl.lit("compute_heavy").alias("job_type"),
    )  # fmt: skip


def _plan(owner: pl.Expr) -> pl.Expr:
    chain = pl.lit(PLANS[3])
    for number, name in enumerate(PLANS[:3]):
        chain = pl.when(owner % 4 == number).then(pl.lit(name)).otherwise(chain)
    return chain.alias("plan")


def _write(folder: Path, events: pl.DataFrame, cuts: list[int]) -> Path:
    """The events in the order in which they arrived, in files that end where `cuts` say."""
    numbered = events.with_columns(pl.int_range(1, events.height + 1, eager=True).alias("stream_seq"))
    whole = numbered.select(
        pl.col(name).cast(kind) if name in numbered.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in EVENT_SCHEMA.items()
    )
    day = folder / "events" / "date=2026-06-01"
    day.mkdir(parents=True)
    for start, end in zip([0, *cuts], [*cuts, whole.height], strict=True):
        whole[start:end].write_parquet(day / f"events-{start + 1:020d}-{end:020d}.parquet")
    return folder


def _invoices(folder: Path) -> list[Invoice]:
    with Warehouse(folder, memory="1GB", threads=2) as warehouse:
        found = read_month(warehouse, MONTH, BOOK, now_ms=AFTER)
    return draft_invoices(found._replace(watermark_ms=0), BOOK)


@pytest.fixture(scope="module")
def jobs() -> pl.DataFrame:
    return _jobs()


@pytest.fixture(scope="module")
def events(jobs: pl.DataFrame) -> pl.DataFrame:
    made = _events(jobs).sort("order")
    assert made.height > 1_000_000
    return made


@pytest.fixture(scope="module")
def invoices(events: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Invoice]:
    return _invoices(_write(tmp_path_factory.mktemp("log"), events, [events.height // 3]))


def test_no_charge_without_an_event_and_no_event_charged_twice(jobs: pl.DataFrame, invoices: list[Invoice]) -> None:
    billed = jobs.filter(pl.col("fate") > 1, pl.col("accepted_at").is_between(FIRST, AFTER - 1))
    expected = {row[0]: row[1:] for row in billed.group_by("owner").agg(pl.sum("compute_units"), pl.len()).rows()}
    assert len(invoices) == TENANTS
    for invoice in invoices:
        units = invoice.units.included + invoice.units.buffer + invoice.units.overage
        assert (units, invoice.jobs) == expected[int(invoice.tenant.removeprefix("tenant-"))]


def test_lines_add_up_to_totals_and_units(invoices: list[Invoice]) -> None:
    for invoice in invoices:
        assert invoice.total_cents == sum(line.amount_cents for line in invoice.lines)
        assert sum(line.quantity for line in invoice.lines if line.unit == "CU") == sum((
            invoice.units.included, invoice.units.buffer, invoice.units.overage
        ))  # fmt: skip


def test_the_order_of_arrival_does_not_matter(events: pl.DataFrame, invoices: list[Invoice], tmp_path: Path) -> None:
    assert _invoices(_write(tmp_path, events.sample(fraction=1, shuffle=True, seed=5), [7, 1_000])) == invoices


def test_where_the_log_is_split_does_not_matter(events: pl.DataFrame, invoices: list[Invoice], tmp_path: Path) -> None:
    source = random.Random(11)
    cuts = sorted(source.sample(range(1, events.height), 40))
    assert _invoices(_write(tmp_path, events, cuts)) == invoices


def test_events_that_stand_twice_are_charged_once(
    events: pl.DataFrame, invoices: list[Invoice], tmp_path: Path
) -> None:
    folder = _write(tmp_path, events, [400_000, 500_000])
    day = folder / "events" / "date=2026-06-01"
    # The same events once more in a file whose range overlaps its neighbours, as after a compaction that was cut short.
    again = pl.concat(pl.read_parquet(path) for path in sorted(day.glob("*.parquet"))[:2])[399_000:420_000]
    again.write_parquet(day / f"events-{399_001:020d}-{420_000:020d}.parquet")
    assert _invoices(folder) == invoices
