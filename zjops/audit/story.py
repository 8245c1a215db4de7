"""The story of one job, in order, with where each step was seen: the counter-example to "every job came out right"."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from zjops.analytics.warehouse import Warehouse
from zjops.audit.findings import DOUBLE_BILLED, DOUBLE_CONFIRMED, DOUBLED, LOST, Finding
from zjops.audit.records import Export
from zjops.client.history import Read, Record
from zjops.domain.clock import rfc3339
from zjops.domain.ids import JOB_PREFIX, job_id, job_key
from zjops.domain.wire import ExportBatch, ExportRow

TOLD_MOST = 50
"""Of so many jobs at most is the story looked up, to find the shortest."""
NEVER = frozenset({LOST, DOUBLED, DOUBLE_BILLED, DOUBLE_CONFIRMED, "wrong_charge", "mismatch", "status_back"})
ON_THEIR_WAY = frozenset({"not_settled", "not_final"})
CLIENT, STORE, LOG, CHAIN = "client", "store", "log", "chain"


class Step(NamedTuple):
    """Something that one place says of a job; `at_ms` is Unix ms, None where the place does not say when."""

    at_ms: int | None
    where: str
    text: str

    def line(self) -> str:
        """For people."""
        when = rfc3339(self.at_ms)[11:23] if self.at_ms is not None else ""
        return f"{when:<12}  {self.where:<6}  {self.text}"


class Story(NamedTuple):
    """A job, what was told of it, and what must not be."""

    job_id: str
    steps: list[Step]
    wrong: list[str]

    def lines(self) -> list[str]:
        """For people: step by step, then the contradiction."""
        return [f"the story of {self.job_id}:", *(f"  {step.line()}" for step in self.steps),
                *(f"  must not be: {text}" for text in self.wrong)]  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"job_id": self.job_id, "steps": [step._asdict() for step in self.steps], "wrong": self.wrong}


def shortest(
    findings: Sequence[Finding], history: Iterable[Record], export: Export, warehouse: Warehouse | None
) -> Story | None:
    """The story with the fewest steps among the jobs that something was found of; None where no job is named.

    First come those with what no time can heal, then those that lack an event, last those that are on their way.
    """
    wrong: dict[str, list[str]] = defaultdict(list)
    named = [one for one in findings if one.job_id.startswith(JOB_PREFIX)]
    worst = {one.job_id for one in named if one.kind in NEVER} or {
        one.job_id for one in named if one.kind not in ON_THEIR_WAY
    }  # fmt: skip
    for finding in named:
        if not worst or finding.job_id in worst:
            wrong[finding.job_id].append(f"{finding.kind}: {finding.text}")
    names = list(wrong)[:TOLD_MOST]
    if not names:
        return None
    told = _by_client(history, set(names))
    logged = _by_log(warehouse, names) if warehouse is not None else {}
    batches = {batch.batch_id: batch for batch in export.batches}
    found = []
    for name in names:
        steps = [*told[name], *_by_store(export.jobs.get(name), batches), *logged.get(name, ())]
        found.append(Story(name, sorted(steps, key=_when), wrong[name]))
    return min(found, key=lambda story: (len(story.steps), story.job_id))


def _keys(names: Iterable[str]) -> list[bytes]:
    """The keys of job ids; a history that was written by hand may name what is none."""
    found = []
    for name in names:
        with contextlib.suppress(ValueError):
            found.append(job_key(name))
    return found


def _when(step: Step) -> tuple[bool, int]:
    """What has no time stands at the end: it is how things are now."""
    return step.at_ms is None, step.at_ms or 0


def _by_client(history: Iterable[Record], names: set[str]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = defaultdict(list)
    for record in history:
        if record.job_id is None or record.job_id not in names:
            continue
        if isinstance(record, Read):
            found[record.job_id].append(Step(record.end_ms, CLIENT, f"was shown {record.status}"))
            continue
        again = " again (replayed)" if record.replayed else ""
        found[record.job_id].append(Step(record.start_ms, CLIENT, f"sent it under key {record.key}"))
        found[record.job_id].append(Step(record.end_ms, CLIENT, f"was answered {record.status}{again}"))
    return found


def _by_store(row: ExportRow | None, batches: dict[int, ExportBatch]) -> list[Step]:
    if row is None:
        return [Step(None, STORE, "does not know it")]
    now = f"{row.status.value}, {row.compute_units} units {row.charge}, attempt {row.attempt}"
    found = [Step(row.accepted_at, STORE, "accepted it"), Step(None, STORE, f"says now: {now}")]
    batch = batches.get(row.batch_id or 0)
    if row.chain_sequence is not None and batch is not None:
        place = f"number {row.chain_sequence} of batch {batch.batch_id} ({batch.state})"
        at = "" if batch.block_number is None else f", block {batch.block_number}, transaction {batch.tx_hash}"
        found.append(Step(row.confirmed_at, CHAIN, f"{place}{at}"))
    return found


def _by_log(warehouse: Warehouse, names: Sequence[str]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = defaultdict(list)
    for row in warehouse.rows("story", jobs=_keys(names)):
        text = f"{row['type']} (stream {row['stream_seq']}, outbox {row['outbox_no']})"
        if row["charge"] != "held":
            text += f", {row['compute_units']} units {row['charge']}"
        if row["error_code"]:
            text += f", {row['error_code']}"
        if row["chain_sequence"] is not None:
            text += f", number {row['chain_sequence']} of batch {row['batch_id']}"
        found[job_id(bytes(row["job_id"]))].append(Step(row["time"], LOG, text))
    return found
