"""What every process of the API must know of the others: revoked tokens, bans, the queue; read once a second."""

from __future__ import annotations

import asyncio

from simulator.identity.verifier import Verifier
from simulator.policy.admission import Pressure
from simulator.policy.backlog import FRESH_S, Backlog, Behind, together
from simulator.service import Looped
from simulator.store.port import Row, Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError

EVERY_S = 1.0
SKEW_MS = 1_000
"""What says that it is of a later time than this is of a clock that is wrong, or was."""


class Watchlist(Looped):
    """Refreshes itself; while the store is away, what was last known holds."""

    def __init__(self, store: Store, clock: Clock, verifier: Verifier, backlog: Backlog) -> None:
        super().__init__("gateway watchlist")
        self._store, self._clock, self._verifier, self.backlog = store, clock, verifier, backlog
        self.bans: dict[str, int] = {}
        self.pressure = Pressure()

    async def start(self) -> None:
        await self.refresh()
        await super().start()

    async def _run(self) -> None:
        while True:
            due = self._clock.monotonic() + EVERY_S
            await self._clock.sleep(EVERY_S)
            lag = max(0.0, self._clock.monotonic() - due)
            self.pressure = self.pressure._replace(loop_lag_s=lag)
            try:
                await self.refresh()
            except UnreachableError:
                continue

    async def refresh(self) -> None:
        """Read all of it in one go."""

        def read(tx: Tx) -> tuple[list[Row], list[Row], Row | None, list[Row]]:
            now = self._clock.now_ms()
            behind = tx.all("behind_now", since=now - round(FRESH_S * 1000), until=now + SKEW_MS)
            return tx.all("revoked_now", now=now), tx.all("bans_now", now=now), tx.one("jobs_active_total"), behind

        revoked, bans, jobs, told = await self._store.read(read)
        self._verifier.revoke(frozenset(row["jti"] for row in revoked))
        self.bans = {row["address"]: row["until"] for row in bans}
        active_jobs = jobs["total"] if jobs else 0
        self.pressure = self.pressure._replace(active_jobs=active_jobs)
        behind = together(Behind(row["wait_ms"] / 1000, row["per_s"]) for row in told)
        self.backlog.see(behind, active_jobs, self._clock.monotonic())

    async def refresh_soon(self) -> None:
        """Refresh after an act of this process, without making its caller wait for more than that."""
        await asyncio.shield(self.refresh())
