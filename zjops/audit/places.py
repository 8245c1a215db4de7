"""Where batches are: their blocks on the chain at hand, the place that the log told of, and what was repaired since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from zjops.audit.findings import REORGED, REPAIRED, Finding
from zjops.audit.records import Export, Log
from zjops.client.chain import Block, Commit
from zjops.domain.clock import rfc3339
from zjops.domain.wire import ExportBatch, ExportRepair

Place = ExportBatch | ExportRepair


class Chain(Protocol):
    """What is asked of the node about blocks."""

    def block(self, number: int) -> Block | None: ...

    def commit_of(self, first: int) -> Commit | None: ...


def told_place(batch: ExportBatch) -> Place:
    """The place that the events of its jobs tell of: the first at which it was final."""
    return next((one for one in batch.repairs if one.final_at is not None), batch)


def was_told(batch: ExportBatch) -> bool:
    """Whether its jobs were told that it is final."""
    return batch.state == "final" or told_place(batch) is not batch


def vacated(export: Export) -> list[range]:
    """Numbers that batches once had and have no more: something else may stand there on the chain."""
    return [
        range(one.first_sequence, one.first_sequence + batch.count)
        for batch in export.batches
        for one in batch.repairs
        if one.first_sequence != batch.first_sequence
    ]


def check_block(batch: ExportBatch, job: str, chain: Chain) -> list[Finding]:
    """A final batch's block is that of the chain, and its transaction is in it.

    A root alone proves less: it may stand again in another block, which nobody was told of. An export of an earlier
    version names no blocks.
    """
    if batch.state != "final" or batch.block_number is None or batch.block_hash is None:
        return []
    where, block = f"batch {batch.batch_id}", chain.block(batch.block_number)
    if block is None or block.hash != batch.block_hash.lower():
        now = "is not there" if block is None else f"is {block.hash} now"
        text = f"{where}: block {batch.block_number} was final as {batch.block_hash} and {now}; {_again(batch, chain)}"
        return [Finding(REORGED, job, f"{text}: zjops chain reanchor")]
    if (batch.tx_hash or "").lower() not in block.transactions:
        return [Finding("wrong_chain", job, f"{where}: block {batch.block_number} has no transaction {batch.tx_hash}")]
    return []


def _again(batch: ExportBatch, chain: Chain) -> str:
    found = chain.commit_of(batch.first_sequence)
    if found is None:
        return "its root is on the chain no more"
    return f"number {batch.first_sequence} was committed in block {found.block} by {found.tx_hash}"


def check_told(batch: ExportBatch, job: str, log: Log) -> list[Finding]:
    """The log tells of one place for all jobs of a batch, and of no other than the store."""
    logged = log.batches.get(batch.batch_id)
    if logged is None or not was_told(batch):
        return []
    where, place = f"batch {batch.batch_id}", told_place(batch)
    if logged.places > 1:
        return [Finding("mismatch", job, f"{where}: its events name {logged.places} different places")]
    pairs = (
        ("transaction", place.tx_hash, logged.tx_hash), ("block", place.block_number, logged.block_number),
        ("block hash", place.block_hash, logged.block_hash),
    )  # fmt: skip
    return [
        Finding("mismatch", job, f"{where}: {name} {mine} in the store, {theirs} in the log")
        for name, mine, theirs in pairs
        if theirs is not None and mine != theirs
    ]


def check_repairs(export: Export, log: Log) -> Iterator[Finding]:
    """Every repair of the store stands in the log of operators' acts: nothing is put right in silence."""
    for batch in export.batches:
        known = log.repairs[batch.batch_id]
        if known < len(batch.repairs):
            text = f"batch {batch.batch_id} was anchored again {len(batch.repairs)} times, the log tells of {known}"
            yield Finding("event_missing", "-", text)


def repaired(export: Export) -> Iterator[Finding]:
    """What was anchored again, a line each: no fault, but never left unsaid."""
    for batch in export.batches:
        story: list[Place] = [*batch.repairs, batch]
        for one, following in zip(batch.repairs, story[1:], strict=True):
            yield Finding(REPAIRED, "-", f"batch {batch.batch_id} {_story(batch, one, following)}")


def _story(batch: ExportBatch, one: ExportRepair, following: Place) -> str:
    was = "was final" if one.final_at is not None else "was on its way"
    place = "" if one.block_number is None else f" in block {one.block_number} by {one.tx_hash}"
    act = "adopted" if one.act == "adopt" else "sent again"
    text = f"({batch.count} jobs) {was}{place}; {act} at {rfc3339(one.at)} for {one.actor}"
    if one.first_sequence != following.first_sequence:
        text += f", under the numbers from {following.first_sequence} on in place of {one.first_sequence}"
    return text + f"; {'final' if batch.state == 'final' else 'not final yet'}"
