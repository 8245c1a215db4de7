"""The chain: dense numbers, one a job, roots that can be derived again, gas that adds up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from zjops.audit import places
from zjops.audit.findings import DOUBLE_CONFIRMED, Finding
from zjops.audit.places import check_block, check_told, told_place, vacated, was_told
from zjops.audit.records import Export, Log
from zjops.domain.jobs import ANCHORED, CHAIN_STATUS, JobState
from zjops.domain.merkle import Leaf, Tree, job_key_digest, result_digest_of, usage_digest
from zjops.domain.wire import ExportBatch, ExportRow

TRIED_MOST = 2_000_000
"""So many leaves are hashed at most to find out which job a batch lacks: seconds."""
ENDED = ANCHORED | {JobState.CONFIRMED}
ON_CHAIN = frozenset({"mined", "final"})


class Chain(places.Chain, Protocol):
    """What the audit asks of the contract and its chain."""

    def root_of(self, first: int) -> bytes | None: ...

    def next_sequence(self) -> int: ...


def leaf_of(row: ExportRow, number: int | None = None) -> Leaf:
    """A job's leaf, derived from the export alone (C72), under its own number or another."""
    sequence = row.chain_sequence if number is None else number
    assert sequence is not None
    salt = bytes.fromhex(row.salt[2:])
    digest = bytes.fromhex((row.result_sha3 or "0x" + "00" * 32)[2:])
    failed = row.status is JobState.FAILED
    return Leaf(
        sequence,
        job_key_digest(row.tenant, row.job_id, salt),
        result_digest_of(salt, digest),
        usage_digest(salt, row.tenant, row.job_id, row.payload_bytes, row.compute_units, row.accepted_at),
        CHAIN_STATUS[JobState.FAILED if failed else JobState.COMPLETED],
    )


def check_chain(
    export: Export, log: Log, chain: Chain, next_before: int, expect_settled: bool
) -> list[Finding]:  # fmt: skip
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
    expected, free = 1, vacated(export)
    for batch in sorted(export.batches, key=lambda b: b.first_sequence):
        rows = sorted(members[batch.batch_id], key=lambda row: row.chain_sequence or 0)
        if batch.first_sequence != expected and not any(expected in numbers for numbers in free):
            text = f"batch {batch.batch_id} begins at {batch.first_sequence}, not at {expected}"
            found.append(Finding("wrong_chain", "-", text))
        found += _check_batch(batch, rows, export.jobs.values(), chain, log, expect_settled)
        found += _check_numbers(batch, rows, chain, next_before)
        expected = batch.first_sequence + batch.count
    if next_before > expected:
        text = f"the contract is at {next_before}, the store at {expected}"
        found.append(Finding(DOUBLE_CONFIRMED, "-", text))
    return found


def _log_numbers(export: Export, log: Log) -> list[Finding]:
    batches, found = {batch.batch_id: batch for batch in export.batches}, []
    for name, logged in log.jobs.items():
        row = export.jobs.get(name)
        if row is None or not logged.confirmed:
            continue
        number = row.chain_sequence
        batch = batches.get(row.batch_id or 0)
        if batch is not None and row.leaf_index is not None and told_place(batch) is not batch:
            number = told_place(batch).first_sequence + row.leaf_index
        if logged.chain_sequence != number:
            text = f"number {number} in the store, {logged.chain_sequence} in the log"
            found.append(Finding(DOUBLE_CONFIRMED, name, text))
    return found


def _check_batch(
    batch: ExportBatch, rows: list[ExportRow], jobs: Iterable[ExportRow], chain: Chain, log: Log, expect_settled: bool
) -> list[Finding]:  # fmt: skip
    where, found = f"batch {batch.batch_id}", []
    numbers = [row.chain_sequence for row in rows]
    if numbers != list(range(batch.first_sequence, batch.first_sequence + batch.count)):
        gone = Finding("wrong_chain", "-", f"{where} holds {len(rows)} of its {batch.count} jobs")
        moved = moved_from(batch, rows, jobs)
        return [gone] if moved is None else [gone, moved]
    first = rows[0].job_id
    root = Tree([leaf_of(row).hash() for row in rows]).root
    if "0x" + root.hex() != batch.root:
        found.append(Finding("wrong_root", first, f"{where}: the jobs do not give the stored root"))
    if batch.state in ON_CHAIN and (there := chain.root_of(batch.first_sequence)) != root:
        found.append(Finding("wrong_root", first, f"{where}: the chain holds {'another' if there else 'no'} root"))
    if expect_settled and batch.state != "final" and was_told(batch):
        found.append(Finding("not_final", first, f"{where} is anchored again and not final yet"))
    found += check_block(batch, first, chain)
    found += check_told(batch, first, log)
    return found + _check_gas(batch, rows, log)


def moved_from(batch: ExportBatch, rows: list[ExportRow], jobs: Iterable[ExportRow]) -> Finding | None:
    """The one job that a batch lacks, found by the root: no other leaf under that number gives it (C71).

    None when more than one is missing, or when it would take too long to try them all.
    """
    numbers = range(batch.first_sequence, batch.first_sequence + batch.count)
    missing = set(numbers) - {row.chain_sequence for row in rows}
    others = [row for row in jobs if row.chain_sequence not in numbers and row.status in ENDED]
    if len(missing) != 1 or len(rows) != batch.count - 1 or len(others) * batch.count > TRIED_MOST:
        return None
    (number,) = missing
    leaves = [leaf_of(row).hash() for row in rows]
    for row in others:
        leaves.insert(number - batch.first_sequence, leaf_of(row, number).hash())
        if "0x" + Tree(leaves).root.hex() == batch.root:
            now = f"has number {row.chain_sequence} now" if row.chain_sequence else "has no number now"
            text = f"is number {number} of batch {batch.batch_id} by its root, and {now}"
            return Finding(DOUBLE_CONFIRMED, row.job_id, text)
        leaves.pop(number - batch.first_sequence)
    return None


def _check_numbers(batch: ExportBatch, rows: list[ExportRow], chain: Chain, next_before: int) -> list[Finding]:
    """Nothing else stands on the chain under the numbers of a batch that is not there yet."""
    if batch.state in ON_CHAIN or next_before <= batch.first_sequence:
        return []
    root = chain.root_of(batch.first_sequence)
    if root is not None and "0x" + root.hex() == batch.root:
        return []
    text = f"batch {batch.batch_id}: something else has taken number {batch.first_sequence}: zjops chain reanchor"
    return [Finding("wrong_chain", rows[0].job_id if rows else "-", text)]


def _check_gas(batch: ExportBatch, rows: list[ExportRow], log: Log) -> list[Finding]:
    """The shares that the events told add up to the receipt that they told of."""
    logged, gas = log.batches.get(batch.batch_id), told_place(batch).gas_used
    if logged is None or not was_told(batch) or logged.gas == gas:
        return []
    late = any((log.jobs.get(row.job_id) is None or not log.jobs[row.job_id].confirmed) for row in rows)
    text = f"batch {batch.batch_id}: shares of {logged.gas} gas, the receipt says {gas}"
    return [Finding("event_missing" if late else "wrong_gas", rows[0].job_id, text)]
