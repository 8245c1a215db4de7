"""Rows of one job that come together, put together before they are written: a row costs SQLite ten times as much."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zjops.recording.changes import JobValues

_NEW, _OLD, _NEW_IF_TOLD, _OLD_IF_TOLD, _LEAST, _MOST = range(6)
_RULES = {
    "job_id": _OLD, "tenant": _OLD, "plan": _OLD, "job_type": _OLD, "state": _NEW, "outcome": _NEW_IF_TOLD,
    "accepted_at": _OLD, "seen_at": _LEAST, "started_at": _OLD_IF_TOLD, "ended_at": _NEW_IF_TOLD,
    "final_at": _NEW_IF_TOLD, "attempt": _MOST, "processing_ms": _NEW_IF_TOLD, "payload_bytes": _OLD,
    "compute_units": _OLD, "charge": _NEW, "error_code": _NEW_IF_TOLD, "batch_id": _NEW_IF_TOLD,
    "chain_sequence": _NEW_IF_TOLD, "leaf_index": _NEW_IF_TOLD, "tx_hash": _NEW_IF_TOLD, "block_number": _NEW_IF_TOLD,
    "gas_share": _NEW_IF_TOLD, "trace_id": _OLD_IF_TOLD,
}  # fmt: skip
"""What `put_job` makes of a column when a second row of a job comes, in its order."""
COLUMNS = tuple(_RULES)


def merged(rows: Iterable[JobValues]) -> list[JobValues]:
    """One row a job, which writes what all of its rows would have, in the order in which the jobs first came."""
    found: dict[str, JobValues] = {}
    for row in rows:
        known = found.get(row[0])
        found[row[0]] = row if known is None else tuple(map(_chosen, _RULES.values(), known, row))
    return list(found.values())


def _chosen(rule: int, old: Any, new: Any) -> Any:
    if rule == _NEW_IF_TOLD:
        return old if new is None else new
    if rule == _OLD_IF_TOLD:
        return new if old is None else old
    if rule == _LEAST:
        return min(old, new)
    if rule == _MOST:
        return max(old, new)
    return new if rule == _NEW else old
