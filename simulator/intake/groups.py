"""Submissions that arrive while a commit runs wait together and become the next group (group commit)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from simulator.intake.acceptance import Acceptance, Verdictlike
from simulator.intake.records import Accepted, Submission
from simulator.store.port import Store, Tx
from zjops.domain.clock import Clock

GROUP_MOST = 500
"""How many submissions share one transaction."""
BUSY, LINGER_S = 3, 0.004
"""After a group of so many submissions the next one waits a little: under load fewer and larger groups cost less, and
an idle platform answers at once."""
CLOSE_S, SPARED = 0.003, 8
"""So does one that begins so soon after the one before: single submissions, a thousand a second, would each have a
transaction and an fsync of their own. Where nobody else came meanwhile, as with a client that sends one after the
other, so many do not wait."""
CROWD, LINGER_LONGER_S = 32, 0.010
"""After one of so many requests, each of somebody who waits, it waits longer."""

Told = list[Accepted | Exception]


class _Waiting(NamedTuple):
    """Submissions of one request, and where their verdicts go, in order."""

    new: Sequence[Submission]
    told: asyncio.Future[Told]


class Groups:
    """Turns single submissions into few transactions. Whoever waits hears only after the commit."""

    def __init__(self, store: Store, clock: Clock, keep_s: int, *, lingers: bool = True) -> None:
        """Without `lingers` what comes close together does not wait: where time is free, so are transactions."""
        self._lingers = lingers
        self._store, self._clock, self._keep_s = store, clock, keep_s
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None
        self._began, self._spared = float("-inf"), 0
        self.crowded = False
        """Whether the group that was taken last was of many requests."""

    async def accept(self, new: Submission) -> Accepted:
        """Commit one submission with whatever else waits. Raises `Problem`, `StoreUnavailable`."""
        (verdict,) = await self.accept_all([new])
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    def accept_all(self, new: Sequence[Submission]) -> asyncio.Future[Told]:
        """Commit several, each by itself: the answer to each, or its exception."""
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(new, future))
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="intake groups")
        return future

    async def _run(self) -> None:
        try:
            size = 0
            while self._waiting:
                await self._linger(size)
                group = self._next()
                size, self.crowded = sum(len(waiting.new) for waiting in group), len(group) >= CROWD
                for waiting, told in zip(group, await self._commit_all(group), strict=True):
                    if not waiting.told.done():
                        # Where the client has gone, what was committed stays, and its key tells it of it.
                        waiting.told.set_result(told)
        finally:
            self._runner, self.crowded = None, False

    async def _linger(self, size: int) -> None:
        """Wait for more to join the next group, after one of so many."""
        if size >= BUSY:
            await self._clock.sleep(LINGER_LONGER_S if self.crowded else LINGER_S)
        elif self._spared:
            self._spared -= 1
        elif self._lingers and self._clock.monotonic() < self._began + CLOSE_S:
            await self._clock.sleep(CLOSE_S)
            self._spared = SPARED if len(self._waiting) == 1 else 0
        self._began = self._clock.monotonic()

    def _next(self) -> list[_Waiting]:
        """As many requests as fit into one transaction, but at least one."""
        size, count = 0, 0
        for waiting in self._waiting:
            size += len(waiting.new)
            if count and size > GROUP_MOST:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _commit_all(self, group: list[_Waiting]) -> list[Told]:
        told = iter(await self._commit([new for waiting in group for new in waiting.new]))
        return [list(islice(told, len(waiting.new))) for waiting in group]

    async def _commit(self, new: list[Submission]) -> Told:
        try:
            return list(await self._store.transact(partial(self._take, group=new)))
        except Exception as exc:
            if len(new) == 1:
                return [exc]
        # One that cannot be stored must not take the others with it: each is tried alone.
        return [verdict for one in new for verdict in await self._commit([one])]

    def _take(self, tx: Tx, *, group: list[Submission]) -> list[Verdictlike]:
        return Acceptance(tx, self._clock.now_ms(), self._keep_s).take(group)
