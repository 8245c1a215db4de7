"""The prober (C79): asks the API from outside, and writes down what came of it while everything else may be dead.

A read a second and a no-op job a minute, as a tenant of its own that is never billed. Probes are sent at their times
whatever became of those before, so that an API that hangs is seen in each of its seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from simulator.service import background
from simulator.supervisor.asking import Ask, Asked
from simulator.supervisor.caller import Caller, read
from zjops.domain.clock import Clock, rfc3339
from zjops.domain.ids import Ids
from zjops.domain.jobs import JobState
from zjops.domain.requests import LATENCY_BOUNDS_MS, PROBER, Rollup, rollup_of
from zjops.domain.runfile import RunFile

PATIENCE_S = 5.0
"""How long a probe waits for an answer, and an accepted no-op job has to complete."""
POLL_S = 0.25
LOOK_BACK_MS = 3_600_000
"""How far a read looks back: it finds the prober's newest job and costs the store the same in a year."""
JOBS = "/v1/jobs"
NO_OP = msgspec.json.encode({
    "jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "duration_ms": 0, "result_bytes": 0}
})  # fmt: skip
ENDED_WELL = frozenset({JobState.COMPLETED, JobState.CONFIRMED})
ENDED = ENDED_WELL | {JobState.FAILED, JobState.CANCELLED}


class _Job(msgspec.Struct, rename="camel"):
    job_id: str
    status: JobState


class Prober:
    """Sends probes and hands each outcome on as a row of the request log."""

    def __init__(
        self, run: RunFile, ask: Ask, clock: Clock, ids: Ids, note: Callable[[Rollup], None], *,
        read_s: float, job_s: float,
    ) -> None:  # fmt: skip
        assert run.prober is not None
        self._caller = Caller(run.prober, run, ask, clock)
        self._clock, self._ids, self._note = clock, ids, note
        self._read_s, self._job_s = read_s, job_s
        self._tasks: list[asyncio.Task[None]] = []
        self._probes: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to probe."""
        if not self._tasks:
            loops = (self._every(self._read_s, self.read), self._every(self._job_s, self.job))
            self._tasks = [background(loop, "prober") for loop in loops]

    async def stop(self) -> None:
        """Probe no more; what is under way counts as nothing."""
        tasks, self._tasks = [*self._tasks, *self._probes], []
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _every(self, seconds: float, probe: Callable[[], Coroutine[Any, Any, None]]) -> None:
        due = self._clock.monotonic()
        while True:
            # A machine that slept owes no probes of that time.
            due = max(due + seconds, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())
            task = background(probe(), "probe")
            self._probes.add(task)
            task.add_done_callback(self._probes.discard)

    async def read(self) -> None:
        """One read."""
        since = rfc3339((self._clock.now_ms() - LOOK_BACK_MS) // 1_000 * 1_000)
        await self._probe("GET", f"{JOBS}?limit=1&fromDate={since}", {})

    async def job(self) -> None:
        """One no-op job: it must be accepted, and complete in its time."""
        key = str(uuid.UUID(bytes=self._ids.token(16), version=4))
        await self._probe("POST", JOBS, {"Idempotency-Key": key, "Content-Type": "application/json"}, NO_OP)

    async def _probe(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
        second, began = self._clock.now_ms() // 1_000, self._clock.monotonic()
        reply = await self._caller.call(Asked(method, path, headers, body), PATIENCE_S)
        took_s = self._clock.monotonic() - began
        row = _row(method, second, reply.status, took_s)
        if method == "POST" and reply.status == 202 and not await self._completes(reply.body):
            row = msgspec.structs.replace(row, timeouts=1)
        self._note(row)

    async def _completes(self, accepted: bytes) -> bool:
        job, until = read(accepted, _Job), self._clock.monotonic() + PATIENCE_S
        while job is not None and job.status not in ENDED and self._clock.monotonic() < until:
            await self._clock.sleep(POLL_S)
            reply = await self._caller.call(Asked("GET", f"{JOBS}/{job.job_id}/status"), PATIENCE_S)
            job = (read(reply.body, _Job) or job) if reply.status == 200 else job
        return job is not None and job.status in ENDED_WELL


def _row(method: str, second: int, status: int, took_s: float) -> Rollup:
    counts = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    counts[bisect_left(LATENCY_BOUNDS_MS, took_s * 1_000)] = 1
    return rollup_of(
        counts, second=second, process="supervisor", route=JOBS, method=method, status=status, plan=PROBER,
        source="prober",
    )  # fmt: skip
