"""Metering: events to the Parquet log, exactly once.

A file is named by the range of stream sequences that it holds, written beside, renamed, and only then acknowledged.
After a crash the names say where to go on; what comes again is skipped. Rows are in stream order without a gap, unless
the stream itself no longer holds what is missing: then the names say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from simulator.broker.port import Broker, Logged, Message, matches
from simulator.eventlog import EVENT_SCHEMA, event_frame, uuid_bytes
from simulator.indicators import Counts, JobJudge, announce, judge_requests, tell
from simulator.logfiles import REQUEST_SCHEMA, drop_parts, write_file
from simulator.outbox import OUTBOX_HEADER
from simulator.service import Offload, background
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock, parse_rfc3339, utc_date
from zjops.domain.errors import UnreachableError
from zjops.domain.events import DURABLES, CloudEvent, OpsEvent
from zjops.domain.logfiles import PROBER_FIRST, log_files
from zjops.domain.requests import REQUEST_LOG, Rollup

FETCH = 2_000
FLUSH_ROWS = 20_000
LOOK_AHEAD = 1_000
"""How many messages of a stream are looked at for what stands where one is missing."""

OPS_SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.Binary(), "outbox_no": pl.Int64(), "stream_seq": pl.Int64(), "time": pl.Int64(),
    "kind": pl.String(), "actor": pl.String(), "action": pl.String(), "tenant": pl.String(), "reason": pl.String(),
    "values": pl.String(),
}  # fmt: skip

__all__ = ["EVENT_SCHEMA", "OPS_SCHEMA", "LogWriter", "Meter", "event_frame"]
EVENTS_DURABLE, OPS_DURABLE, REQUESTS_DURABLE = "meter-events", "meter-ops", "meter-http"
SPECS = {spec.name: spec for spec in DURABLES}

FrameOf = Callable[[list[Message]], pl.DataFrame]
Judge = Callable[[pl.DataFrame], Counts]


def ops_row(message: Message) -> dict[str, Any]:
    """One row of the OPS log from a message on OPS."""
    cloud = msgspec.json.decode(message.data, type=CloudEvent)
    event = msgspec.json.decode(cloud.data, type=OpsEvent)
    return {
        "event_id": uuid_bytes(cloud.id), "outbox_no": int(message.headers.get(OUTBOX_HEADER, 0)),
        "stream_seq": message.sequence, "time": parse_rfc3339(cloud.time), "kind": event.kind, "actor": event.actor,
        "action": event.action, "tenant": event.tenant, "reason": event.reason,
        "values": msgspec.json.encode(event.values, order="sorted").decode(),
    }  # fmt: skip


def ops_frame(messages: list[Message]) -> pl.DataFrame:
    """The rows of messages on OPS, in their order."""
    return pl.DataFrame([ops_row(message) for message in messages], schema=OPS_SCHEMA, orient="row")


def request_rows(message: Message) -> list[dict[str, Any]]:
    """The rows of the request log from a message on TELEMETRY. Raises `msgspec.MsgspecError` when malformed."""
    return [msgspec.structs.asdict(row) for row in msgspec.json.decode(message.data, type=list[Rollup])]


class LogWriter:
    """Writes one stream to Parquet files under `folder/date=YYYY-MM-DD/`, by the stream's own time in UTC."""

    def __init__(
        self, folder: Path, prefix: str, frame_of: FrameOf, offload: Offload, *,
        judge: Judge | None = None, tell: Callable[[Counts], None] | None = None,
    ) -> None:  # fmt: skip
        """`judge` counts indicators in the rows of a file, off the loop; `tell` takes the counts once it is there."""
        self._folder, self._prefix, self._frame_of, self._offload = folder, prefix, frame_of, offload
        self._judge, self._tell = judge, tell
        self._waiting: dict[int, Message] = {}
        self._foreign: set[int] = set()
        self._last = 0
        self.begun = False

    def last_named(self) -> int:
        """The last stream sequence that a finished file holds; 0 for none."""
        return max((file.last for file in log_files(self._folder) if file.last < PROBER_FIRST), default=0)

    async def begin(self, oldest: int) -> None:
        """Find where to go on; with no file yet, the stream's oldest message that is left begins the log."""
        self._last = await self._offload(self._look) or oldest - 1
        self.begun = True

    def _look(self) -> int:
        drop_parts(self._folder)
        return self.last_named()

    @property
    def waiting(self) -> int:
        """Messages taken in and not yet written."""
        return len(self._waiting)

    async def take(self, messages: list[Message]) -> None:
        """Keep what is new; what a file already holds is acknowledged at once."""
        for message in messages:
            if message.sequence <= self._last:
                await message.ack()
            else:
                self._waiting[message.sequence] = message

    async def flush(self) -> int:
        """Write the run of messages that follows the last file without a gap, then acknowledge it; returns rows.

        What stands between them in the stream and belongs to others is part of the range that a file is named by.
        """
        run, _ = self._run()
        parts = itertools.groupby(run, lambda message: utc_date(message.timestamp_ms))
        return sum([await self._finish(day, list(part)) for day, part in parts])

    async def _finish(self, day: str, part: list[Message]) -> int:
        last = part[-1].sequence
        rows, counts = await self._offload(self._write, day, part, self._last + 1)
        self._last = last
        if self._tell is not None and counts:
            self._tell(counts)
        self._foreign = {sequence for sequence in self._foreign if sequence > last}
        for message in part:
            del self._waiting[message.sequence]
            await message.ack()
        return rows

    def missing(self) -> int | None:
        """The sequence for want of which messages wait; None when none does."""
        run, position = self._run()
        return position if len(run) < len(self._waiting) else None

    def explain(self, position: int, found: list[Logged], ours: Callable[[str], bool]) -> int:
        """Why a sequence does not come: `found` is what the stream holds from there on. Returns how many are lost.

        One that is ours will be delivered again; one of others is passed over; of one that is gone the names will tell.
        """
        lost = 0
        for logged in found:
            lost += self._lose(position, logged.sequence)
            if ours(logged.subject):
                return lost
            self._foreign.add(logged.sequence)
            position = logged.sequence + 1
        return lost if found else self._lose(position, min(self._waiting))

    def _lose(self, position: int, until: int) -> int:
        if until > position:
            self._last, self._foreign = until - 1, set()
        return until - position

    def _run(self) -> tuple[list[Message], int]:
        """What can be written, and the sequence behind it."""
        run: list[Message] = []
        position = self._last + 1
        while position in self._waiting or position in self._foreign:
            if position in self._waiting:
                run.append(self._waiting[position])
            position += 1
        return run, position

    def _write(self, day: str, part: list[Message], first: int) -> tuple[int, Counts]:
        frame = self._frame_of(part)
        write_file(frame, self._folder / f"date={day}", self._prefix, first, part[-1].sequence)
        return frame.height, self._judge(frame) if self._judge is not None else Counts()


class Meter:
    """Drives one writer a stream: fetch, flush by age or size."""

    def __init__(
        self, broker: Broker, log_dir: Path, clock: Clock, telemetry: Telemetry, *,
        flush_s: float, requests_flush_s: float, idle_s: float, offload: Offload,
    ) -> None:  # fmt: skip
        self._broker, self._clock, self._telemetry = broker, clock, telemetry
        self._idle_s = idle_s
        self._flush_s = {EVENTS_DURABLE: flush_s, OPS_DURABLE: flush_s, REQUESTS_DURABLE: requests_flush_s}
        count = partial(tell, telemetry)
        self._writers = {
            EVENTS_DURABLE: LogWriter(log_dir / "events", "events", event_frame, offload, judge=JobJudge(), tell=count),
            OPS_DURABLE: LogWriter(log_dir / "ops", "ops", ops_frame, offload),
            REQUESTS_DURABLE: LogWriter(
                log_dir / REQUEST_LOG, "requests", self._request_frame, offload, judge=judge_requests, tell=count
            ),
        }
        announce(telemetry)
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

    def _request_frame(self, messages: list[Message]) -> pl.DataFrame:
        rows = [row for message in messages for row in self._request_rows(message)]
        return pl.DataFrame(rows, schema=REQUEST_SCHEMA, orient="row")

    def _request_rows(self, message: Message) -> list[dict[str, Any]]:
        """Rows of the request log. What another version counted in another way is left out, and said to be."""
        try:
            return request_rows(message)
        except msgspec.MsgspecError as exc:
            self._telemetry.log("warning", "request rollups cannot be read", reason=str(exc))
            return []

    async def _run(self, durable: str) -> None:
        while True:
            try:
                await self.step(durable, self._idle_s)
            except UnreachableError as exc:
                self._telemetry.log("warning", "meter waits", reason=str(exc))
                await self._clock.sleep(self._flush_s[durable])

    async def step(self, durable: str, wait_s: float) -> int:
        """Gather messages for one flush interval after the first, then write them; returns rows."""
        writer = self._writers[durable]
        messages = await self._broker.fetch(durable, FETCH, wait_s)
        if not messages:
            return 0
        if not writer.begun:
            oldest = await self._broker.read(SPECS[durable].stream, 1)
            await writer.begin(oldest[0].sequence if oldest else 1)
        await writer.take(messages)
        if len(messages) < FETCH:
            await self._clock.sleep(self._flush_s[durable])
        while writer.waiting < FLUSH_ROWS and (messages := await self._broker.fetch(durable, FETCH, 0)):
            await writer.take(messages)
        written = await writer.flush()
        while (position := writer.missing()) is not None and await self._explain(durable, writer, position):
            written += await writer.flush()
        if written:
            self._telemetry.count("metering_rows_total", written, log=durable)
        return written

    async def _explain(self, durable: str, writer: LogWriter, position: int) -> bool:
        """Ask the stream for what is missing; whether the writer can go on without it."""
        spec = SPECS[durable]
        found = await self._broker.read(spec.stream, LOOK_AHEAD, first=position)
        lost = writer.explain(position, found, lambda subject: matches(spec.filter, subject))
        if lost:
            self._telemetry.log("error", "the stream no longer holds what the log misses", log=durable, messages=lost)
        return writer.missing() != position
