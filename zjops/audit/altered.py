"""Events that do not say what the store says of their job: each is named by its own id."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from zjops.audit.findings import Finding
from zjops.domain.ids import job_id
from zjops.domain.wire import ExportRow

ALTERED = "altered"
FACTS = ("tenant", "plan", "job_type", "accepted_at", "payload_bytes", "compute_units")
"""What every event of a job repeats."""
ANCHOR = ("batch_id", "chain_sequence", "leaf_index")
"""What its confirmation tells besides."""
ENDINGS = frozenset({"completed", "failed", "cancelled"})


def altered(rows: Iterable[Mapping[str, Any]], jobs: Mapping[str, ExportRow]) -> list[Finding]:
    """Findings for events, as `suspects.sql` gives them, that differ from the store."""
    found = []
    for event in rows:
        row = jobs.get(job_id(bytes(event["job_id"])))
        if row is not None:
            wrong = [f"{name} {event[name]}, the store says {told}" for name, told in _told(event, row)]
            if wrong:
                who = f"event {uuid.UUID(bytes=bytes(event['event_id']))} ({event['type']}, {event['stream_seq']})"
                found.append(Finding(ALTERED, row.job_id, f"{who}: {'; '.join(wrong)}"))
    return found


def _told(event: Mapping[str, Any], row: ExportRow) -> Iterable[tuple[str, Any]]:
    """The names of what differs, each with the store's value."""
    expected: dict[str, Any] = {name: getattr(row, name) for name in FACTS}
    if event["type"] == "confirmed":
        expected |= {name: getattr(row, name) for name in ANCHOR}
    if event["type"] in ENDINGS:
        expected |= {"charge": row.charge, "error_code": row.error_code}
    if event["type"] == "submitted":
        expected["charge"] = "held"
    return [(name, value) for name, value in expected.items() if event[name] != value]
