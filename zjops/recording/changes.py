"""What happened since the last tick, gathered and counted: nothing that was counted is lost, only put together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec

from zjops.domain.clock import parse_rfc3339
from zjops.domain.events import EventType, JobEvent
from zjops.domain.jobs import JobState
from zjops.domain.requests import LATENCY_BOUNDS_MS, Rollup
from zjops.domain.wire_chain import BatchView
from zjops.recording.rows import Act, Outage

STAGES = tuple(kind.value for kind in EventType)
_PLACE = {stage: index for index, stage in enumerate(STAGES)}
_OUTCOME = {"completed": "completed", "failed": "failed", "cancelled": "cancelled"}
_MINED = 5
"""The place of the moment in a batch's row at which it was first seen as mined."""
READINGS_MOST, REQUESTS_MOST, ACTS_MOST = 20_000, 50_000, 20_000
"""So many of the newest are kept while they cannot be written: hours of them."""
JobValues = tuple[Any, ...]


@dataclass
class Changes:
    """Rows for the recording, and how many events of which type there were."""

    jobs: list[JobValues] = field(default_factory=list)
    seconds: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * len(STAGES)))
    requests: dict[tuple[int, str, str], list[int]] = field(default_factory=dict)
    readings: list[tuple[str, int, str]] = field(default_factory=list)
    batches: list[tuple[Any, ...]] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    outages: list[tuple[Outage, int | None]] = field(default_factory=list)
    newest_ms: int | None = None
    cut: bool = False
    """Whether events of jobs were let go."""

    def event(self, kind: str, at_ms: int, event: JobEvent, traceparent: str | None) -> None:
        """Take in one job event: `kind` is the last part of its subject."""
        self.seconds[at_ms // 1000][_PLACE[kind]] += 1
        self.jobs.append(_job(kind, at_ms, event, traceparent))
        self.newest_ms = at_ms if self.newest_ms is None else max(self.newest_ms, at_ms)

    def rollup(self, row: Rollup) -> None:
        """Take in the answered requests of a second."""
        key = (row.second, row.source, row.plan)
        sums = self.requests.setdefault(key, [0] * (6 + len(LATENCY_BOUNDS_MS) + 1))
        good = row.count if 200 <= row.status < 300 else 0
        refused = row.count - row.timeouts if 400 <= row.status < 500 else 0
        told = (row.count, good, refused, row.errors_5xx + row.timeouts, row.within_300ms, row.within_500ms)
        for index, value in enumerate((*told, *row.latency_ms_histogram)):
            sums[index] += value

    def reading(self, kind: str, at_ms: int, body: Any) -> None:
        """Take in an answer of the platform or the chain."""
        self.readings.append((kind, at_ms, msgspec.json.encode(body).decode()))

    def batch(self, view: BatchView, at_ms: int) -> None:
        """Take in how far a batch is, as it was read at a moment."""
        sent, final = (None if text is None else parse_rfc3339(text) for text in (view.sent_at, view.final_at))
        mined = at_ms if view.state == "mined" else None
        self.batches.append((
            view.batch_id, view.count, view.state, parse_rfc3339(view.closed_at), sent, mined, final,
            view.block_number, view.tx_hash, view.gas_used, view.gas_price_wei, len(view.repairs),
        ))  # fmt: skip

    def counts(self) -> dict[str, int]:
        """How many events of each type."""
        return {stage: sum(counts[place] for counts in self.seconds.values()) for stage, place in _PLACE.items()}

    def with_more(self, later: Changes) -> Changes:
        """The same and what came after it, put together."""
        self.jobs += later.jobs
        self.readings += later.readings
        self.batches += later.batches
        self.acts += later.acts
        self.outages += later.outages
        for second, counts in later.seconds.items():
            self.seconds[second] = [a + b for a, b in zip(self.seconds[second], counts, strict=True)]
        for key, sums in later.requests.items():
            known = self.requests.get(key)
            self.requests[key] = sums if known is None else [a + b for a, b in zip(known, sums, strict=True)]
        return self

    def rows(self) -> int:
        """How many rows it takes to write all of it."""
        kinds = self.jobs, self.seconds, self.requests, self.readings, self.batches, self.acts, self.outages
        return sum(map(len, kinds))

    def condense(self, jobs_most: int) -> None:
        """Keep no more than is needed to write it later: of a batch, an answer and an outage only what changes
        something, and of what comes again and again the newest."""
        self.cut |= len(self.jobs) > jobs_most
        del self.jobs[jobs_most:]
        newest: dict[int, tuple[Any, ...]] = {}
        for row in self.batches:
            mined = newest[row[0]][_MINED] if row[0] in newest else None
            newest[row[0]] = row if mined is None else (*row[:_MINED], mined, *row[_MINED + 1 :])
        self.batches = list(newest.values())
        bodies: dict[str, str] = {}
        told = []
        for kind, at_ms, body in self.readings:
            if bodies.get(kind) != body:
                bodies[kind] = body
                told.append((kind, at_ms, body))
        self.readings = told[-READINGS_MOST:]
        for key in list(self.requests)[:-REQUESTS_MOST]:
            del self.requests[key]
        del self.acts[:-ACTS_MOST]
        self.outages = list({(one.source, one.since): (one, until) for one, until in self.outages}.values())


def _job(kind: str, at_ms: int, event: JobEvent, traceparent: str | None) -> JobValues:
    """The values of `put_job`: a confirmation tells the outcome by the state that the job has then."""
    outcome = _OUTCOME.get(kind)
    if kind == EventType.CONFIRMED:
        outcome = JobState.FAILED.value if event.status == JobState.FAILED else JobState.COMPLETED.value
    return (
        event.job_id, event.tenant, event.plan, event.job_type, event.status, outcome, event.accepted_at, at_ms,
        at_ms if kind == EventType.PROCESSING else None, at_ms if kind in _OUTCOME else None,
        at_ms if kind == EventType.CONFIRMED else None, event.attempt, event.processing_ms, event.payload_bytes,
        event.compute_units, event.charge, event.error_code, event.batch_id, event.chain_sequence, event.leaf_index,
        event.tx_hash, event.block_number, event.gas_share, _trace(traceparent),
    )  # fmt: skip


def _trace(traceparent: str | None) -> str | None:
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None
