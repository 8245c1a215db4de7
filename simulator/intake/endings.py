"""Cancelling, and what every ending does to a tenant's units."""

from __future__ import annotations

from typing import Any

from simulator.job_events import job_event
from simulator.notifier.deliveries import enqueue_deliveries
from simulator.outbox import enqueue_event
from simulator.store.port import Row, Tx
from zjops.domain.clock import utc_date, utc_month
from zjops.domain.errors import Problem
from zjops.domain.events import EventType
from zjops.domain.ids import Ids, job_key
from zjops.domain.jobs import ACTIVE, Charge, JobState
from zjops.domain.webhooks import WebhookType


def find_job(tx: Tx, tenant_id: str | None, public_id: str) -> Row:
    """A tenant's job, or the `not-found` problem: another tenant's job is not told apart from none (R17).

    Operators, who ask for no tenant's, find every job.
    """
    try:
        row = tx.one("job_get", id=job_key(public_id))
    except ValueError:
        row = None
    if row is None or tenant_id not in (None, row["tenant"]):
        raise Problem("not-found", "There is no such job.")
    return row


def settle_units(tx: Tx, row: Row, charge: Charge) -> None:
    """Charge or release a job's reservation, in the month and day of its acceptance (C76), and free its place."""
    units, tenant, at = row["compute_units"], row["tenant"], row["accepted_at"]
    charged = units if charge is Charge.CHARGED else 0
    released = units - charged
    tx.run("usage_settle", tenant=tenant, month=utc_month(at), charged=charged, released=released)
    jobs = int(charge is Charge.CHARGED)
    tx.run("usage_day_settle", tenant=tenant, day=utc_date(at), jobs=jobs, charged=charged, released=released)
    tx.run("tenant_active", tenant=row["tenant"], change=-1)


def settled_row(
    id: bytes, *, status: str, charge: str, attempt: int, started_at: int | None, completed_at: int, now: int,
    progress: int, result: bytes | None = None, result_sha256: str | None = None, result_bytes: int | None = None,
    result_keccak: bytes | None = None, processing_ms: int | None = None, error_code: str | None = None,
    error_message: str | None = None, dead_letter: int = 0, settled_no: int | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """In the order of `job_settled`'s places."""
    return (
        status, charge, attempt, started_at, completed_at, now, progress, result, result_sha256, result_bytes,
        result_keccak, processing_ms, error_code, error_message, dead_letter, settled_no, id,
    )  # fmt: skip


def cancel_now(tx: Tx, ids: Ids, row: Row, charge: Charge, now: int) -> None:
    """End a job as cancelled: it never reaches the chain (C70)."""
    tx.many("job_settled", [settled_row(
        row["id"], status=JobState.CANCELLED.value, charge=charge.value, attempt=row["attempt"],
        started_at=row["started_at"], completed_at=now, now=now, progress=row["progress"],
    )])  # fmt: skip
    settle_units(tx, row, charge)
    event = job_event(row, status=JobState.CANCELLED.value, charge=charge.value)
    enqueue_event(tx, ids, EventType.CANCELLED, event, now, row["traceparent"])
    shown = row | {"status": JobState.CANCELLED.value, "completed_at": now}
    enqueue_deliveries(tx, ids, shown, WebhookType.CANCELLED, now)


def request_cancel(tx: Tx, ids: Ids, tenant_id: str | None, public_id: str, now: int) -> Row:
    """Cancel a pending job at once, ask for a running one's end; returns the job as it was. Raises `Problem`."""
    row = find_job(tx, tenant_id, public_id)
    state = JobState(row["status"])
    if state not in ACTIVE and state is not JobState.CANCELLED:
        raise Problem("job-not-cancellable", f"The job is already {state.value}.")
    if state is not JobState.CANCELLED:
        tx.run("job_cancel_requested", id=row["id"], now=now)
    if state is JobState.PENDING:
        cancel_now(tx, ids, row, Charge.RELEASED, now)
    return row
