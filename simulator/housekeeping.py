"""Takes away what has had its time: idempotency keys after a day (R24), bans that are over."""

from __future__ import annotations

from simulator.service import Looped
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError

PAGE = 5_000


class Housekeeper(Looped):
    """Walks the keys page by page, round and round.

    An index by time would cost every submission something; reading a page now and then costs nobody anything.
    """

    def __init__(self, store: Store, clock: Clock, telemetry: Telemetry, *, every_s: float, page: int = PAGE) -> None:
        super().__init__("housekeeping")
        self._store, self._clock, self._telemetry = store, clock, telemetry
        self._every_s, self._page, self._after = every_s, page, b""

    async def _run(self) -> None:
        while True:
            try:
                await self.tidy()
            except UnreachableError as exc:
                self._telemetry.log("warning", "housekeeping waits", reason=str(exc))
            await self._clock.sleep(self._every_s)

    async def tidy(self) -> int:
        """Take away what has expired on the next page; returns how much."""
        rows, bans = await self._store.read(self._look)
        self._after = rows[-1]["scope_hash"] if len(rows) == self._page else b""
        now = self._clock.now_ms()
        gone = [{"scope_hash": row["scope_hash"], "now": now} for row in rows if row["expires_at"] <= now]
        if gone or bans:
            await self._store.transact(lambda tx: self._drop(tx, gone, now))
        return len(gone) + len(bans)

    def _look(self, tx: Tx) -> tuple[list[Row], list[Row]]:
        keys = tx.all("idempotency_walk", after=self._after, most=self._page)
        return keys, tx.all("bans_over", now=self._clock.now_ms())

    def _drop(self, tx: Tx, gone: list[Row], now: int) -> None:
        tx.run("bans_purge", now=now)
        if gone:
            tx.many("idempotency_expire", gone)
