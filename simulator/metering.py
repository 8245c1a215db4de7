"""Metering: events to the Parquet log, exactly once.

A file is named by the range of stream sequences that it holds, written beside and renamed. So the names say where to go
on, after a crash too, and the streams are followed from there: nothing is acknowledged. Rows are in stream order
without a gap, unless the stream itself no longer holds what is missing: then the names say so.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from simulator.broker.port import Broker, Logged, matches
from simulator.eventlog import EVENT_SCHEMA, event_frame, uuid_bytes
from simulator.hold import Hold
from simulator.indicators import Counts, JobJudge, announce, judge_requests, tell
from simulator.logfiles import REQUEST_SCHEMA, WriteFile, drop_parts, write_file
from simulator.outbox import OUTBOX_HEADER
from simulator.service import Offload, background
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock, parse_rfc3339, utc_date
from zjops.domain.errors import BrokerUnavailable, UnreachableError
from zjops.domain.events import DURABLES, CloudEvent, DurableSpec, OpsEvent
from zjops.domain.logfiles import PROBER_FIRST, log_files
from zjops.domain.requests import REQUEST_LOG, Rollup

FETCH = 2_000
FLUSH_ROWS = 20_000
HOLD_AGAIN_S = 0.25
LOOK_AHEAD = 1_000
"""How many messages of a stream are looked at a time for what stands between those of the log."""

OPS_SCHEMA: dict[str, pl.DataType] = {
    "event_id": pl.Binary(), "outbox_no": pl.Int64(), "stream_seq": pl.Int64(), "time": pl.Int64(),
    "kind": pl.String(), "actor": pl.String(), "action": pl.String(), "tenant": pl.String(), "reason": pl.String(),
    "values": pl.String(),
}  # fmt: skip

__all__ = ["EVENT_SCHEMA", "OPS_SCHEMA", "LogWriter", "Meter", "event_frame"]
EVENTS_DURABLE, OPS_DURABLE, REQUESTS_DURABLE = "meter-events", "meter-ops", "meter-http"
SPECS = {spec.name: spec for spec in DURABLES}

FrameOf = Callable[[list[Logged]], pl.DataFrame]
Judge = Callable[[pl.DataFrame], Counts]


def ops_row(message: Logged) -> dict[str, Any]:
    """One row of the OPS log from a message on OPS."""
    cloud = msgspec.json.decode(message.data, type=CloudEvent)
    event = msgspec.json.decode(cloud.data, type=OpsEvent)
    return {
        "event_id": uuid_bytes(cloud.id), "outbox_no": int(message.headers.get(OUTBOX_HEADER, 0)),
        "stream_seq": message.sequence, "time": parse_rfc3339(cloud.time), "kind": event.kind, "actor": event.actor,
        "action": event.action, "tenant": event.tenant, "reason": event.reason,
        "values": msgspec.json.encode(event.values, order="sorted").decode(),
    }  # fmt: skip


def ops_frame(messages: list[Logged]) -> pl.DataFrame:
    """The rows of messages on OPS, in their order."""
    return pl.DataFrame([ops_row(message) for message in messages], schema=OPS_SCHEMA, orient="row")


def request_rows(message: Logged) -> list[dict[str, Any]]:
    """The rows of the request log from a message on TELEMETRY. Raises `msgspec.MsgspecError` when malformed."""
    return [msgspec.structs.asdict(row) for row in msgspec.json.decode(message.data, type=list[Rollup])]


def numbers_lost(numbers: Sequence[int]) -> tuple[int, list[int]]:
    """Of a stream's numbers in order: how many are missing between them, and which come right behind a gap."""
    gaps = [(here, there) for here, there in itertools.pairwise(numbers) if there > here + 1]
    return sum(there - here - 1 for here, there in gaps), [there for _, there in gaps]


class LogWriter:
    """Writes one stream to Parquet files under `folder/date=YYYY-MM-DD/`, by the stream's own time in UTC."""

    def __init__(
        self, folder: Path, prefix: str, frame_of: FrameOf, offload: Offload, *,
        judge: Judge | None = None, tell: Callable[[Counts], None] | None = None, write: WriteFile = write_file,
    ) -> None:  # fmt: skip
        """`judge` counts indicators in the rows of a file, off the loop; `tell` takes the counts once it is there."""
        self._folder, self._prefix, self._frame_of, self._offload = folder, prefix, frame_of, offload
        self._judge, self._tell, self._write_file = judge, tell, write
        self._taken: list[Logged] = []
        self._anew: list[int] = []
        self._last = 0
        self.begun = False

    def last_named(self) -> int:
        """The last stream sequence that a finished file holds; 0 for none."""
        return max((file.last for file in log_files(self._folder) if file.last < PROBER_FIRST), default=0)

    async def begin(self) -> None:
        """Go on behind the last file; of what was taken in, that stays which does so too."""
        named = await self._offload(self._look)
        if named < self._last:
            self._taken, self._anew = [], []
        self._taken = [message for message in self._taken if message.sequence > named]
        self._last = named
        self.begun = True

    def _look(self) -> int:
        drop_parts(self._folder)
        return self.last_named()

    @property
    def position(self) -> int:
        """The sequence behind which the next message comes; 0 before the first one."""
        return self._taken[-1].sequence if self._taken else self._last

    @property
    def waiting(self) -> int:
        """Messages taken in and not yet written."""
        return len(self._taken)

    def take(self, messages: list[Logged]) -> None:
        """Take in what comes behind the position."""
        self._taken += messages

    def begin_anew(self, first: int) -> None:
        """What stands between the position and a sequence is lost: no file's range holds it."""
        self._anew.append(first)

    async def flush(self) -> int:
        """Write what was taken in; returns rows.

        What stands between messages in the stream and belongs to others is part of the range that a file is named by.
        """
        parts = itertools.groupby(self._taken, lambda message: (utc_date(message.timestamp_ms), self._first(message)))
        runs = [(day, first, list(part)) for (day, first), part in parts]
        return sum([await self._finish(day, first, run) for day, first, run in runs])

    def _first(self, message: Logged) -> int:
        """Where the numbers begin that reach to a message without a loss; 0 for behind the last file."""
        passed = bisect.bisect_right(self._anew, message.sequence)
        return self._anew[passed - 1] if passed else 0

    async def _finish(self, day: str, first: int, part: list[Logged]) -> int:
        last = part[-1].sequence
        rows, counts = await self._offload(self._write, day, part, max(first, self._last + 1))
        self._last = last
        self._taken = self._taken[len(part) :]
        self._anew = [sequence for sequence in self._anew if sequence > last]
        if self._tell is not None and counts:
            self._tell(counts)
        return rows

    def _write(self, day: str, part: list[Logged], first: int) -> tuple[int, Counts]:
        frame = self._frame_of(part)
        self._write_file(frame, self._folder / f"date={day}", self._prefix, first, part[-1].sequence)
        return frame.height, self._judge(frame) if self._judge is not None else Counts()


class Meter:
    """Drives one writer a stream: follow, flush by age or size."""

    def __init__(
        self, broker: Broker, log_dir: Path, clock: Clock, telemetry: Telemetry, *,
        flush_s: float, requests_flush_s: float, idle_s: float, offload: Offload, write: WriteFile = write_file,
    ) -> None:  # fmt: skip
        self._broker, self._clock, self._telemetry = broker, clock, telemetry
        self._idle_s = idle_s
        self._flush_s = {EVENTS_DURABLE: flush_s, OPS_DURABLE: flush_s, REQUESTS_DURABLE: requests_flush_s}
        made, count = partial(LogWriter, offload=offload, write=write), partial(tell, telemetry)
        self._writers = {
            EVENTS_DURABLE: made(log_dir / "events", "events", event_frame, judge=JobJudge(), tell=count),
            OPS_DURABLE: made(log_dir / "ops", "ops", ops_frame),
            REQUESTS_DURABLE: made(
                log_dir / REQUEST_LOG, "requests", self._request_frame, judge=judge_requests, tell=count
            ),
        }
        announce(telemetry)
        # Two that wrote at once would write the same events twice under names of their own.
        self._hold, self._hold_again_s = Hold(log_dir), max(flush_s, HOLD_AGAIN_S)
        self._waits = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if not self._tasks:
            for writer in self._writers.values():
                writer.begun = False
            self._tasks = [background(self._run(durable), durable) for durable in self._writers]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._hold.let_go()

    def _request_frame(self, messages: list[Logged]) -> pl.DataFrame:
        rows = [row for message in messages for row in self._request_rows(message)]
        return pl.DataFrame(rows, schema=REQUEST_SCHEMA, orient="row")

    def _request_rows(self, message: Logged) -> list[dict[str, Any]]:
        """Rows of the request log. What another version counted in another way is left out, and said to be."""
        try:
            return request_rows(message)
        except msgspec.MsgspecError as exc:
            self._telemetry.log("warning", "request rollups cannot be read", reason=str(exc))
            return []

    async def _run(self, durable: str) -> None:
        while True:
            try:
                await self._held()
                await self.step(durable, self._idle_s)
            except UnreachableError as exc:
                self._writers[durable].begun = False
                self._telemetry.log("warning", "meter waits", reason=str(exc))
                await self._clock.sleep(self._flush_s[durable])

    async def _held(self) -> None:
        """Wait until no other meter writes this log."""
        while not self._hold.take():
            if not self._waits:
                self._waits = True
                self._telemetry.log("warning", "another meter writes this log")
            await self._clock.sleep(self._hold_again_s)
        self._waits = False

    async def step(self, durable: str, wait_s: float) -> int:
        """Gather messages for one flush interval after the first, then write them; returns rows."""
        writer = self._writers[durable]
        if not writer.begun:
            await writer.begin()
        if not writer.waiting:
            gathered = await self._gather(durable, writer, wait_s)
            if not gathered:
                return 0
            if gathered < FETCH:
                await self._clock.sleep(self._flush_s[durable])
        while writer.waiting < FLUSH_ROWS and await self._gather(durable, writer, 0):
            pass
        written = await writer.flush()
        if written:
            self._telemetry.count("metering_rows_total", written, log=durable)
        return written

    async def _gather(self, durable: str, writer: LogWriter, wait_s: float) -> int:
        """Take in what comes next; returns how many messages."""
        messages = await self._broker.follow(durable, writer.position, FETCH, wait_s)
        if messages and messages[-1].sequence > writer.position + len(messages):
            await self._look_between(SPECS[durable], writer, messages)
        writer.take(messages)
        return len(messages)

    async def _look_between(self, spec: DurableSpec, writer: LogWriter, messages: list[Logged]) -> None:
        """Between messages may stand those of others; what the stream no longer holds is lost, and said to be.

        Where there is no file yet, the stream's oldest message that is left begins the log.
        """
        ours = {message.sequence for message in messages}
        numbers = sorted(ours | await self._others(spec, writer.position + 1, ours))
        lost, anew = numbers_lost([writer.position or numbers[0] - 1, *numbers])
        for first in anew if writer.position else [numbers[0], *anew]:
            writer.begin_anew(first)
        if lost:
            self._telemetry.log("error", "the stream no longer holds what the log misses", log=spec.name, messages=lost)

    async def _others(self, spec: DurableSpec, first: int, ours: set[int]) -> set[int]:
        """The numbers of what the stream holds of others before the last of ours. Raises `BrokerUnavailable`."""
        others, end = set[int](), max(ours)
        while first < end and (held := await self._broker.read(spec.stream, LOOK_AHEAD, first=first)):
            between = [logged for logged in held if logged.sequence < end and logged.sequence not in ours]
            if any(matches(spec.filter, logged.subject) for logged in between):
                raise BrokerUnavailable(f"the broker passed over messages of {spec.name}")
            others.update(logged.sequence for logged in between)
            first = held[-1].sequence + 1
        return others
