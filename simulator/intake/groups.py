"""Submissions that arrive while a commit runs wait together and become the next group (group commit)."""

from __future__ import annotations

import asyncio
from functools import partial

from simulator.intake.acceptance import Acceptance, Verdictlike
from simulator.intake.records import Accepted, Submission
from simulator.store.port import Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem

GROUP_MOST = 500
"""How many submissions share one transaction."""
BUSY, LINGER_S = 8, 0.004
"""After a group of so many the next one waits a little: under load fewer and larger groups cost less, and an idle
platform answers at once."""

Waiting = tuple[Submission, "asyncio.Future[Accepted]"]


class Groups:
    """Turns single submissions into few transactions. Whoever waits hears only after the commit."""

    def __init__(self, store: Store, clock: Clock, keep_s: int) -> None:
        self._store, self._clock, self._keep_s = store, clock, keep_s
        self._waiting: list[Waiting] = []
        self._runner: asyncio.Task[None] | None = None

    def accept(self, new: Submission) -> asyncio.Future[Accepted]:
        """Commit one submission with whatever else waits. Awaiting it raises `Problem`, `StoreUnavailable`."""
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append((new, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="intake groups")
        return future

    async def _run(self) -> None:
        try:
            size = 0
            while self._waiting:
                if size >= BUSY:
                    await self._clock.sleep(LINGER_S)
                group, self._waiting = self._waiting[:GROUP_MOST], self._waiting[GROUP_MOST:]
                size = len(group)
                await self._commit(group)
        finally:
            self._runner = None

    async def _commit(self, group: list[Waiting]) -> None:
        try:
            told = await self._store.transact(partial(self._take, group=[new for new, _ in group]))
        except Exception as exc:
            # One that cannot be stored must not take the others with it: each is tried alone.
            if len(group) > 1:
                for one in group:
                    await self._commit([one])
                return
            told = [exc]  # type: ignore[list-item]
        for (_, future), verdict in zip(group, told, strict=True):
            _tell(future, verdict)

    def _take(self, tx: Tx, *, group: list[Submission]) -> list[Verdictlike]:
        return Acceptance(tx, self._clock.now_ms(), self._keep_s).take(group)


def _tell(future: asyncio.Future[Accepted], verdict: Accepted | Problem | Exception) -> None:
    if future.done():
        # The client has gone; what was committed stays, and its key tells it of it.
        return
    if isinstance(verdict, Exception):
        future.set_exception(verdict)
    else:
        future.set_result(verdict)
