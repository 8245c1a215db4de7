"""From rows to what clients see."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.store.port import Row
from zjops.domain.clock import rfc3339
from zjops.domain.ids import job_id
from zjops.domain.jobs import INLINE_RESULT_BYTES, JobState, JobType
from zjops.domain.wire import Confirmation, JobError, JobView, Links, StatusView


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _links(name: str) -> Links:
    here = f"/v1/jobs/{name}"
    return Links(self_=here, status=here + "/status", proof=here + "/proof", cancel=here + "/cancel")


def _result(row: Row, name: str) -> tuple[Any, str | None]:
    """The result inline when it is small, else where it is (C25)."""
    if row["status"] not in (JobState.COMPLETED.value, JobState.CONFIRMED.value):
        return None, None
    if row["result"] is not None and row["result_bytes"] <= INLINE_RESULT_BYTES:
        return msgspec.Raw(row["result"]), None
    return None, f"/v1/jobs/{name}/result"


def job_view(row: Row) -> JobView:
    """One job as its tenant sees it (R11)."""
    name = job_id(row["id"])
    result, url = _result(row, name)
    confirmation = None
    if row["confirmed_at"] is not None:
        confirmation = Confirmation(
            tx_hash=row["tx_hash"], block_number=row["block_number"], confirmed_at=rfc3339(row["confirmed_at"])
        )
    error = None
    if row["status"] == JobState.FAILED.value:
        error = JobError(code=row["error_code"] or "failed", message=row["error_message"] or "The job failed.")
    return JobView(
        job_id=name, status=JobState(row["status"]), job_type=JobType(row["job_type"]), priority=row["priority"],
        submitted_at=rfc3339(row["accepted_at"]), updated_at=rfc3339(row["updated_at"]),
        compute_units=row["compute_units"], attempt=row["attempt"], started_at=_time(row["started_at"]),
        completed_at=_time(row["completed_at"]), cancel_requested_at=_time(row["cancel_requested_at"]),
        blockchain_confirmation=confirmation, result=result, result_url=url, error=error,
        metadata=None if row["metadata"] is None else msgspec.json.decode(row["metadata"]), links=_links(name),
    )  # fmt: skip


def status_view(row: Row) -> StatusView:
    """The short form (R12)."""
    return StatusView(
        job_id=job_id(row["id"]), status=JobState(row["status"]), progress_percent=row["progress"],
        updated_at=rfc3339(row["updated_at"]),
    )  # fmt: skip
