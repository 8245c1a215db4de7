"""The chain: dense numbers, one a job, roots that can be derived again, gas that adds up."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

from zjops.audit.findings import DOUBLE_CONFIRMED, Finding
from zjops.audit.records import Export, Log
from zjops.domain.jobs import CHAIN_STATUS, JobState
from zjops.domain.merkle import Leaf, Tree, job_key_digest, result_digest_of, usage_digest
from zjops.domain.wire import ExportBatch, ExportRow

ON_CHAIN = frozenset({"mined", "final"})


class Chain(Protocol):
    """What the audit asks of the contract."""

    def root_of(self, first: int) -> bytes | None: ...

    def next_sequence(self) -> int: ...


def leaf_of(row: ExportRow) -> Leaf:
    """A job's leaf, derived from the export alone (C72)."""
    assert row.chain_sequence is not None
    salt = bytes.fromhex(row.salt[2:])
    digest = bytes.fromhex((row.result_sha3 or "0x" + "00" * 32)[2:])
    failed = row.status is JobState.FAILED
    return Leaf(
        row.chain_sequence,
        job_key_digest(row.tenant, row.job_id, salt),
        result_digest_of(salt, digest),
        usage_digest(salt, row.tenant, row.job_id, row.payload_bytes, row.compute_units, row.accepted_at),
        CHAIN_STATUS[JobState.FAILED if failed else JobState.COMPLETED],
    )


def check_chain(export: Export, log: Log, chain: Chain, next_before: int) -> list[Finding]:
    """Everything that the chain says. `next_before` was read before the export, so that it cannot run ahead of it."""
    members: dict[int, list[ExportRow]] = defaultdict(list)
    numbers: dict[int, list[str]] = defaultdict(list)
    for row in export.jobs.values():
        if row.chain_sequence is not None:
            numbers[row.chain_sequence].append(row.job_id)
            members[row.batch_id or 0].append(row)
    found = [
        Finding(DOUBLE_CONFIRMED, job_id, f"shares number {number} with {jobs[0]}")
        for number, jobs in numbers.items()
        for job_id in jobs[1:]
    ]
    found += _log_numbers(export, log)
    expected = 1
    for batch in sorted(export.batches, key=lambda b: b.first_sequence):
        rows = sorted(members[batch.batch_id], key=lambda row: row.chain_sequence or 0)
        found += _check_batch(batch, rows, expected, chain, log)
        expected = batch.first_sequence + batch.count
    if next_before > expected:
        text = f"the contract is at {next_before}, the store at {expected}"
        found.append(Finding(DOUBLE_CONFIRMED, "-", text))
    return found


def _log_numbers(export: Export, log: Log) -> list[Finding]:
    found = []
    for name, logged in log.jobs.items():
        row = export.jobs.get(name)
        if row is not None and logged.confirmed and logged.chain_sequence != row.chain_sequence:
            text = f"number {row.chain_sequence} in the store, {logged.chain_sequence} in the log"
            found.append(Finding(DOUBLE_CONFIRMED, name, text))
    return found


def _check_batch(
    batch: ExportBatch, rows: list[ExportRow], expected: int, chain: Chain, log: Log
) -> list[Finding]:  # fmt: skip
    where, found = f"batch {batch.batch_id}", []
    if batch.first_sequence != expected:
        found.append(Finding("wrong_chain", "-", f"{where} begins at {batch.first_sequence}, not at {expected}"))
    numbers = [row.chain_sequence for row in rows]
    if numbers != list(range(batch.first_sequence, batch.first_sequence + batch.count)):
        found.append(Finding("wrong_chain", "-", f"{where} holds {len(rows)} of its {batch.count} jobs"))
        return found
    root = Tree([leaf_of(row).hash() for row in rows]).root
    if "0x" + root.hex() != batch.root:
        found.append(Finding("wrong_root", rows[0].job_id, f"{where}: the jobs do not give the stored root"))
    if batch.state in ON_CHAIN and chain.root_of(batch.first_sequence) != root:
        found.append(Finding("wrong_root", rows[0].job_id, f"{where}: the chain holds another root"))
    if batch.state == "final" and log.gas.get(batch.batch_id, batch.gas_used) != batch.gas_used:
        late = any((log.jobs.get(row.job_id) is None or not log.jobs[row.job_id].confirmed) for row in rows)
        text = f"{where}: shares of {log.gas.get(batch.batch_id)} gas, the receipt says {batch.gas_used}"
        found.append(Finding("event_missing" if late else "wrong_gas", rows[0].job_id, text))
    return found
