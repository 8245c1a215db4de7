"""From the client's side: what was promised must be there, once, and must never seem to go back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from zjops.audit.findings import DOUBLED, LOST, Finding
from zjops.audit.records import Export
from zjops.client.history import Read, Record
from zjops.domain.jobs import TRANSITIONS, JobState


def _reachable(state: JobState) -> set[JobState]:
    found, waiting = {state}, [state]
    while waiting:
        for following in TRANSITIONS[waiting.pop()] - found:
            found.add(following)
            waiting.append(following)
    return found


REACHABLE = {state: _reachable(state) for state in JobState}


def check_history(records: Iterable[Record], export: Export, counts: Counter[str]) -> list[Finding]:
    """Every accepted job exists, one key is one job, no reader saw a state go back."""
    promised: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    reads: dict[str, list[Read]] = defaultdict(list)
    unknown: set[tuple[str | None, str]] = set()
    for record in records:
        if isinstance(record, Read):
            reads[record.job_id].append(record)
        elif record.outcome == "ok" and record.job_id is not None:
            promised[record.tenant, record.key].add(record.job_id)
        elif record.outcome == "unknown":
            unknown.add((record.tenant, record.key))
    counts["client_accepted"] = len(set().union(*promised.values())) if promised else 0
    counts["unknown"] = len(unknown - promised.keys())
    found = _promises(promised, export)
    found += _keys(promised, export)
    return found + [f for job_id, seen in reads.items() for f in _backward(job_id, seen)]


def _promises(promised: dict[tuple[str | None, str], set[str]], export: Export) -> list[Finding]:
    found = []
    for (_, key), jobs in promised.items():
        found += [
            Finding(LOST, job_id, f"was accepted under key {key} and does not exist")
            for job_id in sorted(jobs)
            if job_id not in export.jobs
        ]
        if len(jobs) > 1:
            found += [Finding(DOUBLED, job_id, f"one of {len(jobs)} jobs of key {key}") for job_id in sorted(jobs)[1:]]
    return found


def _keys(promised: dict[tuple[str | None, str], set[str]], export: Export) -> list[Finding]:
    """One key is one job in the store too, also where the client never heard the answer."""
    stored: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in export.jobs.values():
        if row.idempotency_key is not None:
            stored[row.tenant, row.idempotency_key].append(row.job_id)
    found = [
        Finding(DOUBLED, job_id, f"one of {len(jobs)} stored jobs of key {key}")
        for (_, key), jobs in stored.items()
        for job_id in sorted(jobs)[1:]
    ]
    for (tenant, key), jobs in promised.items():
        other = set(stored.get((tenant or "", key), [])) - jobs
        found += [Finding(DOUBLED, job_id, f"stored under key {key}, which was answered otherwise") for job_id in other]
    return found


def _backward(job_id: str, seen: list[Read]) -> list[Finding]:
    """A reading that ended before another began must not show a later state."""
    latest: Read | None = None
    pending = sorted(seen, key=lambda read: read.start_ms)
    ended = sorted(seen, key=lambda read: read.end_ms)
    position = 0
    for read in pending:
        while position < len(ended) and ended[position].end_ms < read.start_ms:
            candidate = ended[position]
            if latest is None or JobState(candidate.status) in REACHABLE[JobState(latest.status)]:
                latest = candidate
            position += 1
        if latest is not None and JobState(read.status) not in REACHABLE[JobState(latest.status)]:
            return [Finding("status_back", job_id, f"was shown {latest.status}, then {read.status}")]
    return []
