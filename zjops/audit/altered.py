"""Events that are missing, stand twice or do not say what the store says of their job: each is named by itself."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zjops.analytics.warehouse import Warehouse
from zjops.audit.findings import DOUBLED, Finding
from zjops.audit.records import WHOLE, Export, Part
from zjops.domain.ids import job_id
from zjops.domain.wire import ExportRow

ALTERED = "altered"
Event = Mapping[str, Any]
FACTS = ("tenant", "plan", "job_type", "accepted_at", "payload_bytes", "compute_units")
"""What every event of a job repeats."""
ANCHOR = ("batch_id", "chain_sequence", "leaf_index")
"""What its confirmation tells besides."""
ENDINGS = frozenset({"completed", "failed", "cancelled"})
MOST = 10_000
"""How many jobs are looked at event by event."""


def check_events(log_dir: Path, export: Export, part: Part = WHOLE) -> list[Finding]:
    """Read the log for what its events repeat; only jobs that look wrong are read event by event.

    A gap is one wherever it is; everything else is asked of the part that the export tells of.
    """
    told = _Told(export)
    with Warehouse(log_dir, whole=False) as warehouse:
        found = list(_gaps(warehouse))
    with part.open(log_dir) as warehouse:
        suspects = [row["job_id"] for row in warehouse.rows("facts") if told.doubts(row)][:MOST]
        events = warehouse.rows("events_of_jobs", jobs=suspects) if suspects else []
    return found + list(_copies(events)) + [one for event in events if (one := told.altered(event)) is not None]


def _gaps(warehouse: Warehouse) -> Iterator[Finding]:
    """Numbers that the names of the files promise and no row has."""
    files = warehouse.files["events"]
    if not files:
        return
    for run in warehouse.rows("missing_events", before=files[0].first - 1, after=files[-1].last + 1):
        first, last = run["first"], run["last"]
        what = f"event {first} of the stream is" if first == last else f"events {first} to {last} of the stream are"
        yield Finding("gap", "-", f"{what} not in the log")


def _copies(events: Iterable[Event]) -> Iterator[Finding]:
    """Events that stand more than once."""
    by_id: dict[bytes, list[Event]] = defaultdict(list)
    for event in events:
        by_id[bytes(event["event_id"])].append(event)
    for held in by_id.values():
        if len(held) > 1:
            text = f"{_named(held[0])} stands {len(held)} times"
            yield Finding(DOUBLED, job_id(bytes(held[0]["job_id"])), text)


class _Told:
    """What the store says of each job, as its events should."""

    def __init__(self, export: Export) -> None:
        self._jobs = export.jobs
        # A batch that was anchored again stands elsewhere than its first confirmation told.
        self._batches = {batch.batch_id: batch for batch in export.batches if batch.state == "final"}
        self._moved = {batch.batch_id for batch in export.batches if batch.repairs}

    def doubts(self, row: Event) -> bool:
        """Whether a job's events, as `facts.sql` sums them up, do not all say what the store does."""
        told = self._jobs.get(job_id(bytes(row["job_id"])))
        if told is None or not row["alike"] or row["twice"] or row["held"] is False:
            return told is not None
        expected = self._facts(told) | (self._anchor(told) if row["batch_id"] is not None else {})
        wrong = any(row[name] != value for name, value in expected.items())
        return wrong or any(row[name] not in (None, getattr(told, name)) for name in ("charge", "error_code"))

    def altered(self, event: Event) -> Finding | None:
        """What an event says that the store does not."""
        told, kind = self._jobs.get(job_id(bytes(event["job_id"]))), event["type"]
        if told is None:
            return None
        expected = self._facts(told)
        if kind == "confirmed":
            expected |= self._anchor(told)
        if kind in ENDINGS:
            expected |= {"charge": told.charge, "error_code": told.error_code}
        if kind in ("submitted", "processing"):
            expected["charge"] = "held"
        wrong = [f"{name} {event[name]}, the store says {v}" for name, v in expected.items() if event[name] != v]
        return Finding(ALTERED, told.job_id, f"{_named(event)}: {'; '.join(wrong)}") if wrong else None

    def _facts(self, told: ExportRow) -> dict[str, Any]:
        return {name: getattr(told, name) for name in FACTS}

    def _anchor(self, told: ExportRow) -> dict[str, Any]:
        """Its place on chain and its share of the gas, unless its batch was anchored again."""
        batch = self._batches.get(told.batch_id or 0)
        if batch is None or batch.batch_id in self._moved or told.leaf_index is None or batch.gas_used is None:
            return {}
        base, rest = divmod(batch.gas_used, batch.count)
        return {name: getattr(told, name) for name in ANCHOR} | {"gas_share": base + (told.leaf_index < rest)}


def _named(event: Event) -> str:
    return f"event {uuid.UUID(bytes=bytes(event['event_id']))} ({event['type']}, number {event['stream_seq']})"
