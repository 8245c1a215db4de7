"""The audit's inputs as plain records: the export's jobs and batches, the log's view of each job."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from zjops.analytics.warehouse import Warehouse
from zjops.domain.errors import UsageError
from zjops.domain.ids import job_id
from zjops.domain.wire import ExportBatch, ExportHead, ExportRow


class Export(NamedTuple):
    """The store as of one moment."""

    head: ExportHead
    jobs: dict[str, ExportRow]
    batches: list[ExportBatch]


class Logged(NamedTuple):
    """What the log says of a job: how often each event stands there, in which order, and what was charged."""

    tenant: str
    copies: int
    submitted: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    confirmed: int
    charged: int
    released: int
    submitted_no: int
    ended_no: int
    confirmed_no: int
    compute_units: int
    chain_sequence: int | None


class Log(NamedTuple):
    """The log as of one moment."""

    jobs: dict[str, Logged]
    gas: dict[int, int]
    watermark: int = 0


class _Line(msgspec.Struct):
    job: ExportRow | None = None
    batch: ExportBatch | None = None


def read_export(path: Path) -> Export:
    """Read an export. Raises `UsageError` for one that is damaged or cut off."""
    try:
        with path.open("rb") as file:
            head = msgspec.json.decode(next(file, b""), type=ExportHead)
            lines = [msgspec.json.decode(line, type=_Line) for line in file]
    except (OSError, msgspec.MsgspecError) as exc:
        raise UsageError(f"export {path} cannot be read: {exc}") from exc
    jobs = {line.job.job_id: line.job for line in lines if line.job is not None}
    batches = [line.batch for line in lines if line.batch is not None]
    if (len(jobs), len(batches)) != (head.jobs, head.batches):
        raise UsageError(f"export {path} is cut off: {len(jobs)} of {head.jobs} jobs; export it again")
    return Export(head, jobs, batches)


def read_log(log_dir: Path) -> Log:
    """Read the log. Raises `UnreachableError`."""
    # What is missing is for the audit to find and to name, job by job.
    with Warehouse(log_dir, whole=False) as warehouse:
        jobs = {job_id(bytes(row.pop("job_id"))): Logged(**row) for row in warehouse.rows("jobs")}
        gas = {row["batch_id"]: row["gas"] for row in warehouse.rows("gas")}
        watermark = warehouse.rows("watermark")[0]["outbox_no"]
    return Log(jobs, gas, watermark)
