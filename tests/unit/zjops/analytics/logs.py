"""Small logs to read and to break: files as the meter writes them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from simulator.metering import EVENT_SCHEMA, OPS_SCHEMA
from zjops.domain.clock import utc_date

START_MS = 1_793_000_000_000
DAY_MS = 86_400_000


def event(seq: int, type: str = "completed", **other: Any) -> dict[str, Any]:
    """An event; that of one sequence is always the same one."""
    return dict.fromkeys(EVENT_SCHEMA) | {
        "event_id": uuid.UUID(int=seq).bytes, "outbox_no": 2 * seq, "stream_seq": seq, "type": type,
        "time": START_MS + seq, "tenant": "acme", "plan": "pro", "job_id": uuid.UUID(int=10**6 + seq).bytes,
        "job_type": "compute_heavy", "accepted_at": START_MS, "payload_bytes": 200, "compute_units": 100,
        "charge": "charged", "status": type, "attempt": 1,
    } | other  # fmt: skip


def ops(seq: int, action: str = "tenant.create", **other: Any) -> dict[str, Any]:
    """An operator's action."""
    return {
        "event_id": uuid.UUID(int=seq).bytes, "outbox_no": 2 * seq + 1, "stream_seq": seq, "time": START_MS + seq,
        "kind": "tenant", "actor": "operator", "action": action, "tenant": "acme", "reason": "", "values": "{}",
    } | other  # fmt: skip


def write(log: Path, name: str, rows: Iterable[dict[str, Any]], span: tuple[int, int] | None = None) -> Path:
    """A file of rows in the log's folder; its name says their range of sequences unless `span` says another."""
    held = list(rows)
    first, last = span or (held[0]["stream_seq"], held[-1]["stream_seq"])
    folder = log / name / f"date={utc_date(held[0]['time'])}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{first:020d}-{last:020d}.parquet"
    pl.DataFrame(held, schema={"events": EVENT_SCHEMA, "ops": OPS_SCHEMA}[name], orient="row").write_parquet(path)
    return path


def events(first: int, last: int, **other: Any) -> list[dict[str, Any]]:
    """Endings in a row."""
    return [event(seq, **other) for seq in range(first, last + 1)]


def requests(log: Path, rows: int) -> Path:
    """A request log of one row a second, one request each."""
    second = START_MS // 1000
    row = {
        "second": second, "process": "api-1", "source": "api", "route": "/v1/jobs", "method": "POST", "status": 202,
        "plan": "pro", "count": 1, "within_300ms": 1, "within_500ms": 1, "errors_5xx": 0, "timeouts": 0,
        "latency_ms_histogram": [1, 0],
    }  # fmt: skip
    folder = log / "requests" / f"date={utc_date(START_MS)}"
    folder.mkdir(parents=True)
    path = folder / f"requests-{1:020d}-{rows:020d}.parquet"
    made = [row | {"second": second + n, "status": 202 if n % 3 else 503} for n in range(rows)]
    pl.DataFrame(made, schema_overrides={"status": pl.Int32}).write_parquet(path)
    return path
