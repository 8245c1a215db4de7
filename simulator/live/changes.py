"""What happened to a job, read off its row: so nothing needs to be kept to resume, and nothing can be missed.

A job passes pending, processing, one ending, and confirmed, each at most once and in this order; the row holds the
time of each. The number of a change is its place in that order and serves as the SSE event id.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from simulator.store.port import Row
from zjops.domain.ids import job_id
from zjops.domain.jobs import INLINE_RESULT_BYTES, TERMINAL, JobState

PENDING, PROCESSING, ENDED, CONFIRMED = 1, 2, 3, 4


class Change(NamedTuple):
    """One change of a job: its number, and the message that tells of it."""

    number: int
    message: dict[str, Any]


def changes(row: Row, after: int = 0) -> list[Change]:
    """Every change of a job after a number, oldest first."""
    ended = row["completed_at"] is not None and row["status"] in TERMINAL
    end_status = row["status"]
    if end_status == JobState.CONFIRMED.value:
        end_status = JobState.COMPLETED.value
    found = [Change(PENDING, _message(row, JobState.PENDING.value, row["accepted_at"], PENDING))]
    if row["started_at"] is not None:
        found.append(Change(PROCESSING, _message(row, JobState.PROCESSING.value, row["started_at"], PROCESSING)))
    if ended:
        message = _message(row, end_status, row["completed_at"], ENDED) | _outcome(row, end_status)
        found.append(Change(ENDED, message))
    if row["confirmed_at"] is not None:
        message = _message(row, row["status"], row["confirmed_at"], CONFIRMED)
        message["blockchainConfirmation"] = {"txHash": row["tx_hash"], "blockNumber": row["block_number"]}
        found.append(Change(CONFIRMED, message))
    return [change for change in found if change.number > after]


def is_over(row: Row) -> bool:
    """Whether no further change can come: cancelled, or final on chain."""
    return row["confirmed_at"] is not None or row["status"] == JobState.CANCELLED.value


def _message(row: Row, status: str, at_ms: int, number: int) -> dict[str, Any]:
    """R87's members; the time is in Unix seconds on this interface (C30)."""
    return {"jobId": job_id(row["id"]), "status": status, "timestamp": at_ms / 1000, "sequence": number}


def _outcome(row: Row, status: str) -> dict[str, Any]:
    if status == JobState.FAILED.value:
        return {"error": {"code": row["error_code"] or "failed", "message": row["error_message"] or "The job failed."}}
    if status != JobState.COMPLETED.value:
        return {}
    if row["result"] is not None and row["result_bytes"] <= INLINE_RESULT_BYTES:
        return {"result": msgspec.Raw(row["result"])}
    return {"resultUrl": f"/v1/jobs/{job_id(row['id'])}/result"}
