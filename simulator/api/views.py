"""From rows to what clients see."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from simulator.store.port import Row, Tx
from zjops.domain.clock import rfc3339
from zjops.domain.ids import job_id
from zjops.domain.jobs import INLINE_RESULT_BYTES, RETRIED, JobState, JobType
from zjops.domain.wire import Confirmation, JobAttempt, JobError, JobView, Links, StatusView

_BECAME: dict[str, Literal["running", "completed", "failed", "cancelled"]] = {
    JobState.PROCESSING.value: "running", JobState.COMPLETED.value: "completed", JobState.CONFIRMED.value: "completed",
    JobState.FAILED.value: "failed", JobState.CANCELLED.value: "cancelled",
}  # fmt: skip


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


def attempts_of(tx: Tx, row: Row) -> list[JobAttempt]:
    """Every attempt of a job, oldest first. One with a single attempt tells it itself, and costs no reading."""
    several = row["attempt"] > 1 or row["attempt_base"]
    kept = {one["n"]: one for one in (tx.all("job_attempts_of", job=row["id"]) if several else ())}
    return [_attempt(row, number, kept) for number in range(1, row["attempt"] + 1)]


def _attempt(row: Row, number: int, kept: dict[int, Row]) -> JobAttempt:
    known = kept.get(number)
    if known is not None:
        return _kept(row, known)
    if number == row["attempt_base"]:
        # A store that was made before attempts were kept knows no more than that another one followed.
        began = row["started_at"] if number == 1 else None
        return JobAttempt(attempt=number, outcome="retried", started_at=_time(began))
    return _last(row) if number == row["attempt"] else _untold(row, number, kept)


def _kept(row: Row, known: Row) -> JobAttempt:
    last, state, outcome = known["n"] == row["attempt"], row["status"], known["outcome"]
    if outcome is None:
        outcome = "running" if last and state == JobState.PROCESSING.value else "lost"
    ended_so = outcome == RETRIED and last and state == JobState.CANCELLED.value
    if ended_so:
        # It was cancelled while it waited for the next one.
        outcome = JobState.FAILED.value
    error = None
    if outcome in (RETRIED, JobState.FAILED.value):
        error = JobError(code=known["error_code"] or "failed", message=known["error_message"] or "The attempt failed.")
    return JobAttempt(
        attempt=known["n"], outcome=outcome, started_at=rfc3339(known["started_at"]), ended_at=_time(known["ended_at"]),
        next_at=None if ended_so else _time(known["next_at"]), error=error,
    )  # fmt: skip


def _last(row: Row) -> JobAttempt:
    """The attempt that a job has ended with, or may yet, told by the job itself, whose start is the first one's."""
    ran, began = row["processing_ms"], row["started_at"] if row["attempt"] == 1 else None
    ended = began + ran if began is not None and ran is not None else row["completed_at"]
    return JobAttempt(
        attempt=row["attempt"], outcome=_BECAME.get(row["status"], "running"), started_at=_time(began),
        ended_at=_time(ended), error=_error(row),
    )  # fmt: skip


def _untold(row: Row, number: int, kept: dict[int, Row]) -> JobAttempt:
    """An attempt whose end nobody told. The job's own start is the first's, unless a later one was told first."""
    began = row["started_at"]
    first = number == 1 and all(one["started_at"] != began for one in kept.values())
    return JobAttempt(attempt=number, outcome="lost", started_at=_time(began) if first else None)


def _error(row: Row) -> JobError | None:
    if row["status"] != JobState.FAILED.value:
        return None
    return JobError(code=row["error_code"] or "failed", message=row["error_message"] or "The job failed.")


def job_view(row: Row, attempts: list[JobAttempt] | None = None) -> JobView:
    """One job as its tenant sees it (R11); in a list without its attempts."""
    name = job_id(row["id"])
    result, url = _result(row, name)
    confirmation = None
    if row["confirmed_at"] is not None:
        confirmation = Confirmation(
            tx_hash=row["tx_hash"], block_number=row["block_number"], confirmed_at=rfc3339(row["confirmed_at"])
        )
    return JobView(
        job_id=name, status=JobState(row["status"]), job_type=JobType(row["job_type"]), priority=row["priority"],
        submitted_at=rfc3339(row["accepted_at"]), updated_at=rfc3339(row["updated_at"]),
        compute_units=row["compute_units"], attempt=row["attempt"], attempts=attempts,
        started_at=_time(row["started_at"]), completed_at=_time(row["completed_at"]),
        cancel_requested_at=_time(row["cancel_requested_at"]),
        blockchain_confirmation=confirmation, result=result, result_url=url, error=_error(row),
        metadata=None if row["metadata"] is None else msgspec.json.decode(row["metadata"]), links=_links(name),
    )  # fmt: skip


def status_view(row: Row) -> StatusView:
    """The short form (R12)."""
    return StatusView(
        job_id=job_id(row["id"]), status=JobState(row["status"]), progress_percent=row["progress"],
        updated_at=rfc3339(row["updated_at"]),
    )  # fmt: skip
