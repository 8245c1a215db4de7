"""The same tables and views as Polars LazyFrames: column for column and row for row what the SQL views give.

logs = frames(Path("~/.zjops/log").expanduser())
logs.usage_daily.filter(pl.col("tenant") == "acme").collect()
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from zjops.analytics.logfiles import LogFile
from zjops.analytics.schema import LOGS, Log
from zjops.analytics.warehouse import Warehouse

DTYPES: dict[str, pl.DataType] = {
    "BLOB": pl.Binary(), "BIGINT": pl.Int64(), "INTEGER": pl.Int32(), "VARCHAR": pl.String(),
    "BIGINT[]": pl.List(pl.Int64()),
}  # fmt: skip
ENDINGS = ("completed", "failed", "cancelled")


class Frames:
    """The logs of a folder, as the files were when it was made; make it anew to see what was added since.

    Tables: `events`, `ops`, `requests`, `events_once`, `ops_once`. Views: the same names as in SQL.
    """

    def __init__(self, files: dict[str, list[LogFile]], twice: dict[str, list[LogFile]]) -> None:
        self.events = _scan(files["events"], LOGS["events"])
        self.ops = _scan(files["ops"], LOGS["ops"])
        self.requests = _scan(files["requests"], LOGS["requests"])
        self.events_once = _once(files["events"], twice["events"], LOGS["events"])
        self.ops_once = _once(files["ops"], twice["ops"], LOGS["ops"])
        self.jobs = _jobs(self.events_once)
        self.charged_jobs = _charged_jobs(self.events_once)
        self.usage_daily = _usage_daily(self.charged_jobs)
        self.invoice_usage = _invoice_usage(self.charged_jobs)
        self.batches = _batches(self.events_once)
        self.requests_by_minute = _requests_by_minute(self.requests)


def frames(log_dir: Path, *, whole: bool = True) -> Frames:
    """The logs of a folder. Raises what `Warehouse` raises; `whole` as there."""
    with Warehouse(log_dir, whole=whole) as warehouse:
        return Frames(warehouse.files, warehouse.twice)


def _scan(files: list[LogFile], log: Log) -> pl.LazyFrame:
    schema = {column.name: DTYPES[column.type] for column in log.columns}
    if not files:
        return pl.LazyFrame(schema=schema)
    paths = [file.path for file in files]
    return pl.scan_parquet(paths, schema=schema, extra_columns="ignore", hive_partitioning=False)


def _once(files: list[LogFile], twice: list[LogFile], log: Log) -> pl.LazyFrame:
    """Each event once; only files that may hold one twice are made distinct."""
    apart = set(twice)
    plain = _scan([file for file in files if file not in apart], log)
    if not twice:
        return plain
    ordered = _scan(twice, log).sort("event_id", "stream_seq", "outbox_no")
    return pl.concat([ordered.unique("event_id", keep="first", maintain_order=True), plain])


def _utc(column: str) -> pl.Expr:
    """Unix ms as a timestamp in UTC, of the SQL views' precision."""
    return pl.from_epoch(pl.col(column), "ms").cast(pl.Datetime("us"))


def _newest(column: str) -> pl.Expr:
    return pl.col(column).sort_by("stream_seq").last()


def _when(*kinds: str) -> Callable[[str], pl.Expr]:
    return lambda name: _utc("time").filter(pl.col("type").is_in(kinds)).min().alias(name)


def _jobs(events: pl.LazyFrame) -> pl.LazyFrame:
    most = ["error_code", "attempt", "payload_bytes", "compute_units"]
    chain = ["processing_ms", "batch_id", "chain_sequence", "gas_share"]
    return events.group_by("job_id").agg(
        pl.col("tenant", "plan", "job_type").first(), _newest("status"), _newest("charge"), pl.col(most).max(),
        _utc("accepted_at").min(), _when("processing")("started_at"), _when(*ENDINGS)("ended_at"),
        _when("confirmed")("confirmed_at"), pl.col(chain).max(),
    )  # fmt: skip


def _charged_jobs(events: pl.LazyFrame) -> pl.LazyFrame:
    charged = events.filter(pl.col("type").is_in(ENDINGS) & (pl.col("charge") == "charged"))
    accepted = _utc("accepted_at")
    return charged.select(
        "job_id", "tenant", "plan", "job_type", pl.col("type").alias("ended_as"), "error_code", accepted,
        _utc("time").alias("ended_at"), accepted.dt.date().alias("day"),
        accepted.dt.strftime("%Y-%m").alias("month"), "payload_bytes", "compute_units",
    )  # fmt: skip


def _jobs_count() -> pl.Expr:
    return pl.len().cast(pl.Int64).alias("jobs")


def _usage_daily(charged: pl.LazyFrame) -> pl.LazyFrame:
    sums = pl.col("compute_units", "payload_bytes").sum()
    return charged.group_by("tenant", "day", "job_type").agg(_jobs_count(), sums)


def _invoice_usage(charged: pl.LazyFrame) -> pl.LazyFrame:
    accepted = pl.col("accepted_at")
    return charged.group_by("tenant", "month", "plan").agg(
        _jobs_count(), pl.col("compute_units").sum(),
        accepted.min().alias("first_accepted_at"), accepted.max().alias("last_accepted_at"),
    )  # fmt: skip


def _batches(events: pl.LazyFrame) -> pl.LazyFrame:
    sequence = pl.col("chain_sequence")
    return events.filter(pl.col("type") == "confirmed").group_by("batch_id").agg(
        _jobs_count(), pl.col("tenant").n_unique().cast(pl.Int64).alias("tenants"),
        sequence.min().alias("first_sequence"), sequence.max().alias("last_sequence"), pl.col("tx_hash").min(),
        pl.col("gas_share").sum().alias("gas_used"), _utc("time").max().alias("confirmed_at"),
    )  # fmt: skip


def _requests_by_minute(requests: pl.LazyFrame) -> pl.LazyFrame:
    start = pl.from_epoch(pl.col("second") - pl.col("second") % 60, "s").cast(pl.Datetime("us"))
    counts = ["within_300ms", "within_500ms", "errors_5xx", "timeouts"]
    keys = [start.alias("minute"), "source", "route", "method", "status", "plan"]
    return requests.group_by(keys).agg(pl.col("count").sum().alias("requests"), pl.col(counts).sum())
