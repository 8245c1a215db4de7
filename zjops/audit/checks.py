"""One job at a time: the store against the log, by the rules of C70."""

from __future__ import annotations

from collections import Counter

from zjops.audit.findings import DOUBLE_BILLED, DOUBLE_CONFIRMED, DOUBLED, LOST, Finding
from zjops.audit.records import Export, Log, Logged
from zjops.domain.jobs import ANCHORED, INVALID_PARAMETERS, TERMINAL, Charge, JobState
from zjops.domain.requests import PROBER_TENANT
from zjops.domain.wire import ExportRow

ENDINGS = ("completed", "failed", "cancelled")


def count(export: Export, counts: Counter[str]) -> None:
    """The counts of the store."""
    for row in export.jobs.values():
        counts["accepted"] += 1
        counts["settled" if row.status in TERMINAL else "in_flight"] += 1
        ended = JobState.COMPLETED if row.status is JobState.CONFIRMED else row.status
        if row.status in TERMINAL:
            counts[ended.value] += 1
        counts["confirmed"] += row.confirmed_at is not None
        counts["charged"] += row.charge == Charge.CHARGED.value
        counts["released"] += row.charge == Charge.RELEASED.value


def check_store(row: ExportRow, expect_settled: bool) -> list[Finding]:
    """A job's own row: its charge and its place on chain follow from its state."""
    found = []

    def say(kind: str, text: str) -> None:
        found.append(Finding(kind, row.job_id, text))

    if row.status not in TERMINAL:
        if expect_settled:
            say("not_settled", f"is still {row.status.value}")
        if row.charge != Charge.HELD.value or row.chain_sequence is not None:
            say("wrong_charge", f"is {row.status.value} and already {row.charge}")
        return found
    if row.charge not in _allowed_charges(row):
        say("wrong_charge", f"{row.status.value} ({row.error_code or 'no error'}) but {row.charge}")
    anchored = row.status in ANCHORED or row.status is JobState.CONFIRMED
    if not anchored and row.chain_sequence is not None:
        say("wrong_chain", "was cancelled and has a number on chain")
    if row.status is JobState.CONFIRMED and row.confirmed_at is None:
        say("wrong_chain", "is confirmed without a confirmation")
    if anchored and expect_settled and row.confirmed_at is None:
        say("not_final", f"is {row.status.value} and not final on chain")
    return found


def _allowed_charges(row: ExportRow) -> tuple[str, ...]:
    charged, released = Charge.CHARGED.value, Charge.RELEASED.value
    if row.status in (JobState.COMPLETED, JobState.CONFIRMED):
        return (charged,)
    if row.status is JobState.FAILED:
        return (charged,) if row.error_code == INVALID_PARAMETERS else (released,)
    return (charged,) if row.attempt > 0 else (released,)


def check_log(row: ExportRow, log: Logged | None) -> list[Finding]:
    """A job's events: each that its state tells of, once, in order, with the same charge."""
    if log is None:
        return [Finding("event_missing", row.job_id, "has no event in the log")]
    found = []

    def say(kind: str, text: str) -> None:
        found.append(Finding(kind, row.job_id, text))

    if log.copies:
        say(DOUBLED, f"{log.copies} events stand in the log twice")
    endings = {name: getattr(log, name) for name in ENDINGS}
    for name in ("submitted", "processing", *ENDINGS, "confirmed"):
        if getattr(log, name) > 1:
            say(DOUBLE_CONFIRMED if name == "confirmed" else DOUBLED, f"{getattr(log, name)} events {name}")
    if log.submitted == 0:
        say("event_missing", "no event submitted")
    if sum(endings.values()) > 1:
        say(DOUBLED, "ended more than once: " + ", ".join(n for n, times in endings.items() if times))
    found += _expected(row, log, endings)
    found += _billing(row, log)
    return found


def _expected(row: ExportRow, log: Logged, endings: dict[str, int]) -> list[Finding]:
    ended = JobState.COMPLETED if row.status is JobState.CONFIRMED else row.status
    found = []
    if row.status in TERMINAL and not endings[ended.value]:
        found.append(Finding("event_missing", row.job_id, f"no event {ended.value}"))
    wrong = [name for name, times in endings.items() if times and name != ended.value]
    if wrong:
        found.append(Finding("mismatch", row.job_id, f"is {row.status.value}, the log says {', '.join(wrong)}"))
    if (row.confirmed_at is not None) and not log.confirmed:
        found.append(Finding("event_missing", row.job_id, "no event confirmed"))
    if log.confirmed and row.confirmed_at is None:
        found.append(Finding("mismatch", row.job_id, "the log says confirmed, the store does not"))
    order = [n for n in (log.submitted_no, log.ended_no, log.confirmed_no) if n]
    if order != sorted(order):
        found.append(Finding("wrong_order", row.job_id, "its events stand in the wrong order"))
    return found


def _billing(row: ExportRow, log: Logged) -> list[Finding]:
    found = []
    if log.charged > 1 or (log.charged and log.released):
        text = f"its reservation was settled {log.charged + log.released} times"
        found.append(Finding(DOUBLE_BILLED, row.job_id, text))
    elif log.charged + log.released == 1:
        told = Charge.CHARGED.value if log.charged else Charge.RELEASED.value
        if told != row.charge:
            found.append(Finding("wrong_charge", row.job_id, f"{row.charge} in the store, {told} in the log"))
    if log.compute_units != row.compute_units:
        text = f"{row.compute_units} units in the store, {log.compute_units} in the log"
        found.append(Finding("wrong_charge", row.job_id, text))
    return found


def check_jobs(export: Export, log: Log, expect_settled: bool) -> list[Finding]:
    """Every job of the store, and every job that only the log knows.

    One of the prober's is always on its way, and its client is the platform itself.
    """
    found = [
        f for row in export.jobs.values() for f in check_store(row, expect_settled and row.tenant != PROBER_TENANT)
    ]
    found += [f for row in export.jobs.values() for f in check_log(row, log.jobs.get(row.job_id))]
    return found + [
        Finding(LOST, name, "stands in the log and not in the store") for name in log.jobs.keys() - export.jobs.keys()
    ]
