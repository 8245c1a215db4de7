"""Metering: events to the Parquet log, exactly once.

A file is named by the range of stream sequences that it holds, written beside, renamed, and only then acknowledged.
After a crash the names say where to go on; what comes again is skipped. Rows are in stream order without a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import polars as pl

from simulator.broker.port import Broker, Message
from simulator.outbox import OUTBOX_HEADER
from simulator.service import background
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock, parse_rfc3339, utc_date
from zjops.domain.errors import StoreUnavailable, UnreachableError
from zjops.domain.events import CloudEvent, OpsEvent, open_envelope
from zjops.domain.ids import job_key

FETCH = 2_000
FLUSH_ROWS = 20_000
_NAME = re.compile(r"\w+-(\d{20})-(\d{20})\.parquet")

EVENT_SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.Binary(), "outbox_no": pl.Int64(), "stream_seq": pl.Int64(), "type": pl.String(),
    "time": pl.Int64(), "tenant": pl.String(), "plan": pl.String(), "job_id": pl.Binary(), "job_type": pl.String(),
    "accepted_at": pl.Int64(), "payload_bytes": pl.Int64(), "compute_units": pl.Int64(), "charge": pl.String(),
    "status": pl.String(), "error_code": pl.String(), "attempt": pl.Int32(), "processing_ms": pl.Int64(),
    "batch_id": pl.Int64(), "chain_sequence": pl.Int64(), "leaf_index": pl.Int32(), "tx_hash": pl.Binary(),
    "block_number": pl.Int64(), "block_hash": pl.Binary(), "gas_share": pl.Int64(), "traceparent": pl.String(),
}  # fmt: skip
"""The metering log's columns: times Unix ms, ids 16 bytes, hashes 32 bytes, gas in units."""

OPS_SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.Binary(), "outbox_no": pl.Int64(), "stream_seq": pl.Int64(), "time": pl.Int64(),
    "kind": pl.String(), "actor": pl.String(), "action": pl.String(), "tenant": pl.String(), "reason": pl.String(),
    "values": pl.String(),
}  # fmt: skip

RowOf = Callable[[Message], dict[str, Any]]
T = TypeVar("T")


class Offload(Protocol):
    """How slow file work is done: in a thread, or in place where time is virtual."""

    async def __call__(self, work: Callable[..., T], *args: Any) -> T: ...


async def in_place(work: Callable[..., T], *args: Any) -> T:
    """Do it here and now: virtual time must not run on while a thread works."""
    return work(*args)


def event_row(message: Message) -> dict[str, Any]:
    """One row of the metering log from a message on EVENTS."""
    cloud, event = open_envelope(message.data)
    return {
        "event_id": uuid.UUID(cloud.id).bytes, "outbox_no": int(message.headers.get(OUTBOX_HEADER, 0)),
        "stream_seq": message.sequence, "type": message.subject.split(".")[1], "time": parse_rfc3339(cloud.time),
        "tenant": event.tenant, "plan": event.plan, "job_id": job_key(event.job_id), "job_type": event.job_type,
        "accepted_at": event.accepted_at, "payload_bytes": event.payload_bytes, "compute_units": event.compute_units,
        "charge": event.charge, "status": event.status, "error_code": event.error_code, "attempt": event.attempt,
        "processing_ms": event.processing_ms, "batch_id": event.batch_id, "chain_sequence": event.chain_sequence,
        "leaf_index": event.leaf_index,
        "tx_hash": _digest(event.tx_hash), "block_number": event.block_number, "block_hash": _digest(event.block_hash),
        "gas_share": event.gas_share, "traceparent": cloud.traceparent,
    }  # fmt: skip


def _digest(text: str | None) -> bytes | None:
    return bytes.fromhex(text.removeprefix("0x")) if text else None


def ops_row(message: Message) -> dict[str, Any]:
    """One row of the OPS log from a message on OPS."""
    cloud = msgspec.json.decode(message.data, type=CloudEvent)
    event = msgspec.json.decode(cloud.data, type=OpsEvent)
    return {
        "event_id": uuid.UUID(cloud.id).bytes, "outbox_no": int(message.headers.get(OUTBOX_HEADER, 0)),
        "stream_seq": message.sequence, "time": parse_rfc3339(cloud.time), "kind": event.kind, "actor": event.actor,
        "action": event.action, "tenant": event.tenant, "reason": event.reason,
        "values": msgspec.json.encode(event.values, order="sorted").decode(),
    }  # fmt: skip


class LogWriter:
    """Writes one stream to Parquet files under `folder/date=YYYY-MM-DD/`, by the stream's own time in UTC."""

    def __init__(
        self, folder: Path, prefix: str, schema: dict[str, pl.DataType], row_of: RowOf, offload: Offload
    ) -> None:
        self._folder, self._prefix, self._schema, self._row_of = folder, prefix, schema, row_of
        self._offload = offload
        self._waiting: dict[int, Message] = {}
        self._last: int | None = None

    def last_named(self) -> int:
        """The last stream sequence that a finished file holds; 0 for none."""
        names = (_NAME.fullmatch(path.name) for path in self._folder.glob("date=*/*.parquet"))
        return max((int(name[2]) for name in names if name), default=0)

    @property
    def waiting(self) -> int:
        """Messages taken in and not yet written."""
        return len(self._waiting)

    async def take(self, messages: list[Message]) -> None:
        """Keep what is new; what a file already holds is acknowledged at once."""
        if self._last is None:
            self._last = await self._offload(self.last_named)
        for message in messages:
            if message.sequence <= self._last:
                await message.ack()
            else:
                self._waiting[message.sequence] = message

    async def flush(self) -> int:
        """Write the run of messages that follows the last file without a gap, then acknowledge it; returns rows."""
        run = self._run()
        if not run:
            return 0
        for day in sorted({utc_date(m.timestamp_ms) for m in run}):
            part = [m for m in run if utc_date(m.timestamp_ms) == day]
            await self._offload(self._write, day, part)
        self._last = run[-1].sequence
        for message in run:
            del self._waiting[message.sequence]
            await message.ack()
        return len(run)

    def _run(self) -> list[Message]:
        if not self._waiting:
            return []
        # With no file yet, the stream's oldest message that is left begins the log.
        position = self._last + 1 if self._last else min(self._waiting)
        run: list[Message] = []
        while position in self._waiting:
            run.append(self._waiting[position])
            position += 1
        return run

    def _write(self, day: str, part: list[Message]) -> None:
        folder = self._folder / f"date={day}"
        target = folder / f"{self._prefix}-{part[0].sequence:020d}-{part[-1].sequence:020d}.parquet"
        beside = folder / f".{target.name}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            frame = pl.DataFrame([self._row_of(m) for m in part], schema=self._schema, orient="row")
            frame.write_parquet(beside, compression="zstd")
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(target)
        except OSError as exc:
            raise StoreUnavailable(f"log folder {folder}: {exc.strerror}; free some space") from exc


class Meter:
    """Drives one writer a stream: fetch, flush by age or size."""

    def __init__(
        self, broker: Broker, log_dir: Path, clock: Clock, telemetry: Telemetry, *,
        flush_s: float, idle_s: float, offload: Offload,
    ) -> None:  # fmt: skip
        self._broker, self._clock, self._telemetry = broker, clock, telemetry
        self._flush_s, self._idle_s = flush_s, idle_s
        self._writers = {
            "meter-events": LogWriter(log_dir / "events", "events", EVENT_SCHEMA, event_row, offload),
            "meter-ops": LogWriter(log_dir / "ops", "ops", OPS_SCHEMA, ops_row, offload),
        }
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if not self._tasks:
            self._tasks = [background(self._run(durable), durable) for durable in self._writers]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self, durable: str) -> None:
        while True:
            try:
                await self.step(durable, self._idle_s)
            except UnreachableError as exc:
                self._telemetry.log("warning", "meter waits", reason=str(exc))
                await self._clock.sleep(self._flush_s)

    async def step(self, durable: str, wait_s: float) -> int:
        """Gather messages for one flush interval after the first, then write them; returns rows."""
        writer = self._writers[durable]
        messages = await self._broker.fetch(durable, FETCH, wait_s)
        if not messages:
            return 0
        await writer.take(messages)
        if len(messages) < FETCH:
            await self._clock.sleep(self._flush_s)
        while writer.waiting < FLUSH_ROWS and (messages := await self._broker.fetch(durable, FETCH, 0)):
            await writer.take(messages)
        rows = await writer.flush()
        if rows:
            self._telemetry.count("metering_rows_total", rows, log=durable)
        return rows
