"""Running until somebody has had enough: Ctrl-C, once or often, ends in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def end_in_order() -> None:
    """From here on a hang-up and a request to end are as Ctrl-C: what was started is ended too."""
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def until_asked(work: Coroutine[Any, Any, None], *, seconds: float | None = None) -> None:
    """Run until it is done, a signal asks for the end, or the time is over; it is then cancelled and waited for."""
    asyncio.run(_until_asked(work, seconds))


async def _until_asked(work: Coroutine[Any, Any, None], seconds: float | None) -> None:
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    running, waiting = asyncio.create_task(work), asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({running, waiting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        running.cancel()
        ended = (await asyncio.gather(running, waiting, return_exceptions=True))[0]
    if isinstance(ended, Exception):
        raise ended
