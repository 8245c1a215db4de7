"""The logs of child processes, kept to a size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from simulator.rotation import rotate_copy
from simulator.service import Looped
from simulator.supervisor.spec import Notice, Tell
from zjops.domain.clock import Clock

LOOK_EVERY_S = 10.0


class LogKeeper(Looped):
    """Looks every few seconds for a log that is over its size."""

    def __init__(self, paths: Iterable[Path], clock: Clock, tell: Tell, *, most_bytes: int, keep: int) -> None:
        super().__init__("log keeper")
        self._paths, self._clock, self._tell = tuple(paths), clock, tell
        self._most, self._keep = most_bytes, keep

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            for path in self._paths:
                await self._look(path)

    async def _look(self, path: Path) -> None:
        try:
            await asyncio.to_thread(rotate_copy, path, self._most, self._keep)
        except OSError as exc:
            self._tell(Notice(event="note", message=f"log {path.name} cannot be rotated: {exc.strerror or exc}"))
