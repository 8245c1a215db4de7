"""From a row of the job table to the event that tells of it."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.store.port import Row
from zjops.domain.events import JobEvent, Work
from zjops.domain.ids import job_id


def job_event(row: Row, *, status: str, **changes: Any) -> JobEvent:
    """The event data of a job as it stands in the row, with what this change sets."""
    values = {
        "tenant": row["tenant"], "plan": row["plan"], "job_id": job_id(row["id"]), "job_type": row["job_type"],
        "status": status, "accepted_at": row["accepted_at"], "payload_bytes": row["payload_bytes"],
        "compute_units": row["compute_units"], "charge": row["charge"], "error_code": row["error_code"],
        "attempt": row["attempt"], "processing_ms": row["processing_ms"], **changes,
    }  # fmt: skip
    return JobEvent(**values)


def work_message(row: Row, attempt_base: int) -> Work:
    """The work message of one dispatch of a job."""
    return Work(
        job_id=job_id(row["id"]),
        tenant=row["tenant"],
        job_type=row["job_type"],
        timeout_s=row["timeout_s"],
        attempt_base=attempt_base,
        parameters=msgspec.Raw(row["parameters"]) if row["parameters"] is not None else msgspec.UNSET,
        parameters_sha256=row["parameters_sha256"],
        traceparent=row["traceparent"],
    )
