"""Recordings for tests: events in, a recording out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zjops.domain.events import JobEvent
from zjops.domain.requests import LATENCY_BOUNDS_MS, rollup_of
from zjops.recording.changes import Changes
from zjops.recording.files import Limits
from zjops.recording.reader import Recording
from zjops.recording.recorder import Recorder

START = 1_795_680_000_000
"""2026-11-26T08:00:00Z."""
TRACE = "00-cdae967f07f151ab0792d50f39e7546e-6021afbe8114f7f1-01"


def job_id(number: int) -> str:
    """An id as the platform gives it."""
    return f"job_{number:021d}"


def life(
    changes: Changes, number: int, *, accepted: int, started: int | None = None, ended: int | None = None,
    final: int | None = None, outcome: str = "completed", **more: Any,
) -> None:  # fmt: skip
    """The events of a job, as far as it got."""
    known: dict[str, Any] = {
        "job_id": job_id(number), "tenant": "acme", "plan": "pro", "job_type": "ml_inference", "payload_bytes": 200,
        "compute_units": 100, "accepted_at": accepted,
    } | {name: value for name, value in more.items() if name != "error_code"}  # fmt: skip
    error = more.get("error_code", "synthetic") if outcome == "failed" else None
    changes.event("submitted", accepted, JobEvent(status="pending", **known), TRACE)
    if started is not None:
        changes.event("processing", started, JobEvent(status="processing", **known | {"attempt": 1}), TRACE)
    done = known | {"attempt": 0 if outcome == "cancelled" else 1, "error_code": error}
    done |= {"charge": "charged" if outcome == "completed" else "released"}
    if ended is not None:
        took = None if started is None else ended - started
        changes.event(outcome, ended, JobEvent(status=outcome, processing_ms=took, **done), TRACE)
    if final is not None:
        place = {"batch_id": 7, "chain_sequence": number, "leaf_index": number, "tx_hash": "0x" + "ab" * 32,
                 "block_number": 42, "gas_share": 565}  # fmt: skip
        status = "confirmed" if outcome == "completed" else outcome
        changes.event("confirmed", final, JobEvent(status=status, **done | place), TRACE)


def answered(changes: Changes, second: int, *, status: int = 200, count: int = 1, plan: str = "pro") -> None:
    """Requests that were answered within 5 ms."""
    counts = [count, *[0] * len(LATENCY_BOUNDS_MS)]
    changes.rollup(
        rollup_of(counts, second=second, process="api", route="/v1/jobs", method="GET", status=status, plan=plan)
    )


def recorded(folder: Path, parts: Sequence[Changes], now_ms: int, limits: Limits | None = None) -> Recording:
    """A recording that was written and closed."""
    recorder = Recorder(folder / "test.zjrec", {"context": "local"}, limits)
    for part in parts:
        recorder.write(part, now_ms)
    recorder.close()
    return Recording(folder / "test.zjrec")
