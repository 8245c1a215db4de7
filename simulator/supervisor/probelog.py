"""The prober's part of the request log, written by the supervisor itself: it needs no other process of the platform."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import deque
from pathlib import Path

import msgspec

from simulator.service import Offload, background
from simulator.supervisor.spec import Notice, Tell
from zjops.domain.clock import utc_date
from zjops.domain.errors import StoreUnavailable
from zjops.domain.logfiles import PROBER_FIRST, log_files
from zjops.domain.requests import REQUEST_LOG, Rollup

FLUSH_S = 15.0
KEPT_MOST = 100_000
"""Rows that wait for a disk that takes none: more than a day of probes. The oldest go first."""
BESIDE = ".probe"


class ProbeLog:
    """Takes rows and writes them every few seconds, each file named by the numbers of its rows."""

    def __init__(self, log_dir: Path, tell: Tell, offload: Offload = asyncio.to_thread) -> None:
        self._folder, self._tell, self._offload = log_dir / REQUEST_LOG, tell, offload
        self._rows: deque[Rollup] = deque(maxlen=KEPT_MOST)
        self._next = 0
        self._said = ""
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, row: Rollup) -> None:
        """Take a row."""
        self._rows.append(row)

    async def start(self) -> None:
        """Begin to write."""
        if self._task is None:
            self._ended.clear()
            self._task = background(self._run(), "probe log")

    async def stop(self) -> None:
        """Write the rest, and end."""
        task, self._task = self._task, None
        if task is not None:
            # Not cancelled: a thread would write on, beside whoever wrote the rest.
            self._ended.set()
            await task

    async def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._ended.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; what cannot be written waits on, and that is said once."""
        try:
            self._next = self._next or await self._offload(self._begin)
            for day, part in itertools.groupby(list(self._rows), lambda row: utc_date(row.second * 1_000)):
                await self._finish(day, list(part))
            self._said = ""
        except (StoreUnavailable, OSError) as exc:
            if str(exc) != self._said:
                self._tell(Notice(event="note", message=f"the prober's log waits: {exc}"))
            self._said = str(exc)

    async def _finish(self, day: str, part: list[Rollup]) -> None:
        await self._offload(self._write, day, part, self._next)
        self._next += len(part)
        for row in part:
            # What had to make room meanwhile stood at the front too.
            if self._rows and self._rows[0] is row:
                self._rows.popleft()

    def _begin(self) -> int:
        """The number of the next row: behind those of all files."""
        from simulator.logfiles import drop_parts

        drop_parts(self._folder, BESIDE)
        return (
            max((file.last for file in log_files(self._folder) if file.last >= PROBER_FIRST), default=PROBER_FIRST - 1)
            + 1
        )

    def _write(self, day: str, part: list[Rollup], first: int) -> None:
        # Loaded by the first write, and told to be modest: whoever does not probe shall not pay for it.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        import polars as pl

        from simulator.logfiles import REQUEST_SCHEMA, write_file

        frame = pl.DataFrame([msgspec.structs.asdict(row) for row in part], schema=REQUEST_SCHEMA, orient="row")
        write_file(frame, self._folder / f"date={day}", "prober", first, first + len(part) - 1, beside=BESIDE)
