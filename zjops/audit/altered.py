"""Events that are missing, stand twice or do not say what the store says of their job: each is named by itself."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from zjops.analytics.warehouse import Warehouse, sql
from zjops.audit.findings import DOUBLED, Finding
from zjops.audit.records import WHOLE, Export, Part
from zjops.domain.ids import job_id
from zjops.domain.jobs import JobState
from zjops.domain.synthetic import synthetic_part
from zjops.domain.wire import ExportRow

ALTERED = "altered"
Event = Mapping[str, Any]
FACTS = ("tenant", "plan", "job_type", "accepted_at", "payload_bytes", "compute_units")
"""What every event of a job repeats."""
ANCHOR = ("batch_id", "chain_sequence", "leaf_index")
"""What its confirmation tells besides."""
PLACE = ("gas_share", "tx_hash", "block_number", "block_hash")
"""And of its batch."""
STATUS = {"submitted": "pending"}
"""Where an event shows its job in a state of another name; a confirmed job that failed stays a failed one."""
STARTS = frozenset({"submitted", "processing"})
MOST = 10_000
"""How many jobs are looked at event by event."""
PART_EVENTS = 100_000
"""About so many events are summed up at once."""
BEFORE_ALL, AFTER_ALL = -(2**63), 2**63 - 1


def check_events(log_dir: Path, export: Export, part: Part = WHOLE) -> list[Finding]:
    """Read the log for what its events repeat; only jobs that look wrong are read event by event.

    A gap is one wherever it is; everything else is asked of the part that the export tells of.
    """
    told = _Told(export)
    with Warehouse(log_dir, whole=False) as warehouse:
        found = [*_gaps(warehouse), *_shared(warehouse), *_acts_twice(warehouse)]
    with part.open(log_dir) as warehouse:
        suspects = [row["job_id"] for row in _facts(warehouse, part) if told.doubts(row)][:MOST]
        events = warehouse.rows("events_of_jobs", jobs=suspects) if suspects else []
    return found + list(_copies(events)) + [one for event in events if (one := told.altered(event)) is not None]


def _facts(warehouse: Warehouse, part: Part) -> Iterator[Event]:
    """What each job's events say together, those of some jobs at a time: what a sum has of text stays in memory."""
    through = AFTER_ALL if part.through is None else part.through
    held = (min(file.last, through) - max(file.first - 1, part.after) for file in warehouse.files["events"])
    parts = 1 + sum(max(0, events) for events in held) // PART_EVENTS
    (found,) = warehouse.rows("part_moments", fractions=[number / parts for number in range(1, parts)])
    for since, until in pairwise([BEFORE_ALL, *dict.fromkeys(found["moments"] or ()), AFTER_ALL]):
        yield from warehouse.rows_within("facts", since, until, once=False)


def _gaps(warehouse: Warehouse) -> Iterator[Finding]:
    """Numbers that the names of the files promise, or the mark of a synthetic log, and no row has."""
    made = synthetic_part(warehouse.log_dir)
    ends = {"events": made.last.events, "ops": made.last.ops} if made else {}
    for log, (one, more) in {"events": ("event", "the stream"), "ops": ("act", "the OPS stream")}.items():
        files, end = warehouse.files[log], ends.get(log, 0)
        if not files and not end:
            continue
        last = max(end, files[-1].last if files else 0)
        # What a synthetic log begins with was never expired.
        before = 0 if made else files[0].first - 1
        text = sql("missing_numbers").replace("FROM numbers", f"FROM {log}")
        for run in warehouse.ask(text, before=before, after=last + 1):
            yield Finding("gap", "-", _missing(one, more, run["first"], run["last"]))


def _missing(one: str, stream: str, first: int, last: int) -> str:
    what = f"{one} {first} of {stream} is" if first == last else f"{one}s {first} to {last} of {stream} are"
    return f"{what} not in the log"


def _shared(warehouse: Warehouse) -> Iterator[Finding]:
    """Numbers that are there once by nature and that several events have."""
    for row in warehouse.rows("shared_numbers"):
        holders = " and ".join("one without an id" if one is None else _id(one) for one in row["holders"])
        yield Finding(DOUBLED, "-", f"number {row['number']} of the {row['what']} is that of {holders}")


def _acts_twice(warehouse: Warehouse) -> Iterator[Finding]:
    for row in warehouse.rows("doubled_acts"):
        act = f"act {_id(row['event_id'])} ({row['action']}, number {row['stream_seq']})"
        yield Finding(DOUBLED, "-", f"{act} stands {row['times']} times")


def _copies(events: Iterable[Event]) -> Iterator[Finding]:
    """Events that stand more than once."""
    by_id: dict[bytes, list[Event]] = defaultdict(list)
    for event in events:
        if event["event_id"] is not None:
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
        if told is None:
            # One that only the log knows is lost; an event alone may be that of another job.
            return bool(row["events"] == 1)
        if not (row["alike"] and row["sound"]) or row["twice"] or row["confirmed"] > 1:
            return True
        expected = self._facts(told)
        if row["confirmed"]:
            expected |= self._anchor(told) | {"confirmed_at": told.confirmed_at}
        if row["charge"] is not None:
            expected |= {"charge": told.charge, "error_code": told.error_code or ""}
            expected |= {"first_attempt": told.attempt, "last_attempt": told.attempt}
        wrong = any(row[name] != value for name, value in expected.items())
        return wrong or (row["started"] or 0) > told.attempt

    def altered(self, event: Event) -> Finding | None:
        """What an event says that the store does not, None when they agree."""
        told = self._jobs.get(job_id(bytes(event["job_id"])))
        if told is None:
            name = job_id(bytes(event["job_id"]))
            return Finding(ALTERED, name, f"{_named(event)}: the store knows no such job")
        if event["event_id"] is None:
            return Finding(ALTERED, told.job_id, _named(event))
        expected = self._expected(told, event)
        wrong = [f"{name} {_shown(event[name])}, the store says {_shown(v)}"
                 for name, v in expected.items() if event[name] != v]  # fmt: skip
        return Finding(ALTERED, told.job_id, f"{_named(event)}: {'; '.join(wrong)}") if wrong else None

    def _expected(self, told: ExportRow, event: Event) -> dict[str, Any]:
        """All that an event of this type has to say of this job."""
        kind = event["type"]
        expected = self._facts(told) | {"status": STATUS.get(kind, kind)}
        if kind in STARTS:
            # How often it had been tried when its beginning was told, the store does not remember.
            attempt = min(max(event["attempt"], 1), told.attempt) if kind == "processing" else 0
            expected |= {"charge": "held", "error_code": None, "attempt": attempt}
        else:
            expected |= {"charge": told.charge, "error_code": told.error_code, "attempt": told.attempt}
        if kind == "submitted":
            expected["time"] = told.accepted_at
        if kind != "confirmed":
            return expected | dict.fromkeys((*ANCHOR, *PLACE))
        status = "failed" if told.status is JobState.FAILED else kind
        return expected | self._anchor(told) | {"status": status, "time": told.confirmed_at}

    def _facts(self, told: ExportRow) -> dict[str, Any]:
        return {name: getattr(told, name) for name in FACTS}

    def _anchor(self, told: ExportRow) -> dict[str, Any]:
        """Its place on chain and its share of the gas, unless its batch was anchored again."""
        batch = self._batches.get(told.batch_id or 0)
        if batch is None or batch.batch_id in self._moved or told.leaf_index is None or batch.gas_used is None:
            return {}
        base, rest = divmod(batch.gas_used, batch.count)
        place: dict[str, Any] = {"gas_share": base + (told.leaf_index < rest)}
        if batch.block_number is not None and batch.block_hash and batch.tx_hash:
            hashes = {"tx_hash": batch.tx_hash, "block_hash": batch.block_hash}
            place |= {"block_number": batch.block_number} | {n: bytes.fromhex(h[2:]) for n, h in hashes.items()}
        return {name: getattr(told, name) for name in ANCHOR} | place


def _shown(value: Any) -> Any:
    return f"0x{value.hex()}" if isinstance(value, bytes) else value


def _id(event_id: Any) -> str:
    return str(uuid.UUID(bytes=bytes(event_id)))


def _named(event: Event) -> str:
    name = "without an id" if event["event_id"] is None else _id(event["event_id"])
    return f"event {name} ({event['type']}, number {event['stream_seq']})"
