"""Lifecycle: what can be started and stopped, and a stack of such things."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """How slow file work is done: in a thread, or in place where time is virtual."""

    async def __call__(self, work: Callable[..., T], /, *args: Any) -> T: ...


async def in_place(work: Callable[..., T], *args: Any) -> T:
    """Do it here and now: virtual time must not run on while a thread works."""
    return work(*args)


def background(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run a service's loop as a task whose failure is never silent.

    An error that a loop does not handle is told to the event loop's exception handler; a role process ends on it,
    so that its supervisor starts it again, instead of going on without the loop.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    return task


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": f"{task.get_name()} ended by an error", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)


SELDOM, OFTEN = (20_000, 50, 100), (1_000, 20, 100)
"""How many objects are made between two looks of the collector, and how many looks between two wider ones.

Looks at what is new cost the same in sum, but all of a loop waits for each: with 20,000 objects for 22 ms."""


def settle_memory(looks: tuple[int, int, int] = SELDOM) -> None:
    """Once everything is loaded: what is there stays, so the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*looks)
    _give_back()


def _give_back() -> None:
    """Return what loading had and let go of, to the system: glibc keeps it, a fifth of what a small process holds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Service(Protocol):
    """Anything long-lived. `stop` is safe twice and before `start`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Looped:
    """A service that is one loop, `_run`: begun by `start`, cancelled by `stop`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin the loop, unless it runs already."""
        if self._task is None:
            self._task = background(self._run(), self._name)

    async def stop(self) -> None:
        """End the loop; safe twice and before `start`."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        raise NotImplementedError


class Stack:
    """Services that start in order and stop in reverse; one that does not start takes down those before it."""

    def __init__(self, *services: Service) -> None:
        self._services = services

    async def start(self) -> None:
        try:
            for service in self._services:
                await service.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        for service in reversed(self._services):
            await service.stop()
