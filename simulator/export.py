"""The consistent export that the audit reads: every job and batch as of one moment, as JSON lines."""

from __future__ import annotations

import uuid
from typing import IO

import msgspec

from simulator.store.port import Row, Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.ids import job_id
from zjops.domain.jobs import JobState
from zjops.domain.wire import ExportBatch, ExportHead, ExportRepair, ExportRow

PAGE = 1_000


def _job(row: Row) -> ExportRow:
    return ExportRow(
        job_id=job_id(row["id"]), tenant=row["tenant"], plan=row["plan"], job_type=row["job_type"],
        status=JobState(row["status"]), idempotency_key=_key(row["idempotency_key"]), accepted_at=row["accepted_at"],
        payload_bytes=row["payload_bytes"], compute_units=row["compute_units"], charge=row["charge"],
        attempt=row["attempt"], error_code=row["error_code"], salt="0x" + row["salt"].hex(),
        result_sha3=None if row["result_keccak"] is None else "0x" + row["result_keccak"].hex(),
        batch_id=row["batch_id"], chain_sequence=row["chain_sequence"], leaf_index=row["leaf_index"],
        tx_hash=row["tx_hash"], confirmed_at=row["confirmed_at"],
    )  # fmt: skip


def _batch(row: Row, repairs: list[Row]) -> ExportBatch:
    return ExportBatch(
        batch_id=row["id"], first_sequence=row["first_sequence"], count=row["count"], root="0x" + row["root"].hex(),
        state=row["state"], tx_hash=row["tx_hash"], gas_used=row["gas_used"], block_number=row["block_number"],
        block_hash=row["block_hash"], repairs=[_repair(one) for one in repairs if one["batch_id"] == row["id"]],
    )  # fmt: skip


def _repair(row: Row) -> ExportRepair:
    return ExportRepair(
        at=row["at"], actor=row["actor"], act=row["act"], first_sequence=row["first_sequence"],
        root="0x" + row["root"].hex(), tx_hash=row["tx_hash"], block_number=row["block_number"],
        block_hash=row["block_hash"], gas_used=row["gas_used"], final_at=row["final_at"],
    )  # fmt: skip


def _head(tx: Tx, at_ms: int) -> ExportHead:
    counts, last, waiting = tx.one("export_counts"), tx.one("outbox_last"), tx.one("outbox_unpublished")
    assert counts is not None
    assert last is not None
    assert waiting is not None
    return ExportHead(
        at_ms=at_ms, jobs=counts["jobs"], batches=counts["batches"], outbox_last=last["n"],
        outbox_unpublished=waiting["count"],
    )  # fmt: skip


def _write_all(tx: Tx, file: IO[bytes], at_ms: int) -> None:
    def line(value: object) -> None:
        file.write(msgspec.json.encode(value) + b"\n")

    line(_head(tx, at_ms))
    after = b""
    while rows := tx.all("export_jobs", after=after, most=PAGE):
        for row in rows:
            line({"job": _job(row)})
        after = rows[-1]["id"]
    number = 0
    while batches := tx.all("export_batches", after=number, most=PAGE):
        repairs = tx.all("repairs_between", lowest=batches[0]["id"], highest=batches[-1]["id"])
        for row in batches:
            line({"batch": _batch(row, repairs)})
        number = batches[-1]["id"]


async def export_to(store: Store, clock: Clock, file: IO[bytes]) -> None:
    """Write the head, then `{"job":…}` and `{"batch":…}` lines, from one snapshot of the store."""
    at_ms = clock.now_ms()
    await store.read(lambda tx: _write_all(tx, file, at_ms))


def _key(data: bytes | None) -> str | None:
    return None if data is None else str(uuid.UUID(bytes=data))
