"""From the messages of EVENTS to the rows of the metering log, a file's worth at a time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec
import polars as pl

from simulator.broker.port import Logged
from simulator.outbox import OUTBOX_HEADER
from zjops.domain.clock import parse_rfc3339
from zjops.domain.events import JobEvent
from zjops.domain.ids import job_key

EVENT_SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.Binary(), "outbox_no": pl.Int64(), "stream_seq": pl.Int64(), "type": pl.String(),
    "time": pl.Int64(), "tenant": pl.String(), "plan": pl.String(), "job_id": pl.Binary(), "job_type": pl.String(),
    "accepted_at": pl.Int64(), "payload_bytes": pl.Int64(), "compute_units": pl.Int64(), "charge": pl.String(),
    "status": pl.String(), "error_code": pl.String(), "attempt": pl.Int32(), "processing_ms": pl.Int64(),
    "batch_id": pl.Int64(), "chain_sequence": pl.Int64(), "leaf_index": pl.Int32(), "tx_hash": pl.Binary(),
    "block_number": pl.Int64(), "block_hash": pl.Binary(), "gas_share": pl.Int64(), "traceparent": pl.String(),
}  # fmt: skip
"""The metering log's columns: times Unix ms, ids 16 bytes, hashes 32 bytes, gas in units."""


class _Event(msgspec.Struct):
    """The envelope and its data, read in one step."""

    id: str
    time: str
    data: JobEvent
    traceparent: str | None = None


_decode = msgspec.json.Decoder(_Event).decode
# A batch's jobs share their transaction, and a transaction's events their time.
_time = functools.lru_cache(maxsize=4096)(parse_rfc3339)


@functools.lru_cache(maxsize=1024)
def _hash(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def uuid_bytes(text: str) -> bytes:
    """The 16 bytes of a UUID in RFC 9562's form. Raises `ValueError`."""
    found = bytes.fromhex(text.replace("-", ""))
    if len(found) != 16:
        raise ValueError(f"{text} is not a UUID")
    return found


def _row(message: Logged) -> tuple[Any, ...]:
    """In the order of the schema."""
    cloud = _decode(message.data)
    event = cloud.data
    return (
        uuid_bytes(cloud.id), int(message.headers.get(OUTBOX_HEADER, 0)), message.sequence,
        message.subject.partition(".")[2], _time(cloud.time), event.tenant, event.plan, job_key(event.job_id),
        event.job_type, event.accepted_at, event.payload_bytes, event.compute_units, event.charge, event.status,
        event.error_code, event.attempt, event.processing_ms, event.batch_id, event.chain_sequence, event.leaf_index,
        _hash(event.tx_hash) if event.tx_hash else None, event.block_number,
        _hash(event.block_hash) if event.block_hash else None, event.gas_share, cloud.traceparent,
    )  # fmt: skip


def event_frame(messages: Sequence[Logged]) -> pl.DataFrame:
    """The rows of messages on EVENTS, in their order. Raises `msgspec.MsgspecError`, `ValueError` when malformed."""
    columns = list(zip(*map(_row, messages), strict=True)) or [()] * len(EVENT_SCHEMA)
    return pl.DataFrame([
        pl.Series(name, values, dtype=dtype)
        for (name, dtype), values in zip(EVENT_SCHEMA.items(), columns, strict=True)
    ])  # fmt: skip
