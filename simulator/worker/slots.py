"""Where job code runs: a port, and the child processes behind it.

A child lives long and runs one job at a time. Killing it fails one attempt and nothing else: a new one takes its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from simulator.worker.frames import Reply, Request, canonical
from simulator.worker.handlers import HANDLERS
from simulator.worker.handlers.base import ParameterFault
from zjops.domain.jobs import JobType

MEMORY_BYTES = {
    JobType.COMPUTE_HEAVY.value: 512 << 20,
    JobType.DATA_PROCESSING.value: 512 << 20,
    JobType.ML_INFERENCE.value: 256 << 20,
}
"""The most address space that a job of a type may add to its child (R100)."""


class ClientFault(Exception):
    """The job's parameters were at fault."""


class Crashed(Exception):
    """The attempt failed through no fault of the client: the child died, ran out of memory, or job code broke."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Slots(Protocol):
    """Runs job code. `run` returns the result's canonical JSON; raises `ClientFault` or `Crashed`.

    Cancelling `run` ends the job code at once.
    """

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def run(self, job_type: str, parameters: dict[str, Any], on_progress: Callable[[int], None]) -> bytes: ...


class InlineSlots:
    """Runs job code in place: for virtual time, where nothing else moves meanwhile anyway."""

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        return None

    async def run(self, job_type: str, parameters: dict[str, Any], on_progress: Callable[[int], None]) -> bytes:
        try:
            return canonical(HANDLERS[job_type][parameters["algorithm"]].run(parameters, on_progress))
        except ParameterFault as exc:
            raise ClientFault(str(exc)) from exc


class ProcessSlots:
    """A fixed number of children, each `python -m simulator.worker.child` behind two pipes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._idle: asyncio.Queue[asyncio.subprocess.Process | None] = asyncio.Queue()
        self._children: set[asyncio.subprocess.Process] = set()
        self._started = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the children that run now."""
        return [child.pid for child in self._children if child.returncode is None]

    async def start(self) -> None:
        if not self._started:
            self._started = True
            for _ in range(self._count):
                self._idle.put_nowait(await self._spawn())

    async def stop(self) -> None:
        self._started = False
        while not self._idle.empty():
            self._idle.get_nowait()
        for child in list(self._children):
            await self._end(child)

    async def _spawn(self) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulator.worker.child", str(os.getpid()),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._children.add(child)
        return child

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        self._children.discard(child)
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        if child.stdin is not None:
            child.stdin.close()
        await child.wait()

    async def run(self, job_type: str, parameters: dict[str, Any], on_progress: Callable[[int], None]) -> bytes:
        child = await self._idle.get()
        if child is None or child.returncode is not None:
            if child is not None:
                self._children.discard(child)
            child = await self._spawn()
        healthy = False
        try:
            reply = await self._ask(child, Request(job_type, MEMORY_BYTES[job_type], parameters), on_progress)
            healthy = reply.crash_code is None
        finally:
            if not healthy:
                await self._end(child)
            self._idle.put_nowait(child if healthy else None)
        return _ending(reply)

    async def _ask(
        self, child: asyncio.subprocess.Process, request: Request, on_progress: Callable[[int], None]
    ) -> Reply:
        assert child.stdin is not None
        assert child.stdout is not None
        data = msgspec.json.encode(request)
        try:
            child.stdin.write(len(data).to_bytes(4, "big") + data)
            await child.stdin.drain()
            while True:
                size = int.from_bytes(await child.stdout.readexactly(4), "big")
                reply = msgspec.json.decode(await child.stdout.readexactly(size), type=Reply)
                if reply.progress is None:
                    return reply
                on_progress(reply.progress)
        except (asyncio.IncompleteReadError, ConnectionError):
            return Reply(crash_code="worker_crashed", message="The process that ran the job died.")


def _ending(reply: Reply) -> bytes:
    if reply.crash_code is not None:
        raise Crashed(reply.crash_code, reply.message)
    if reply.client_fault is not None:
        raise ClientFault(reply.client_fault)
    assert not isinstance(reply.result, msgspec.UnsetType)
    return bytes(reply.result)
