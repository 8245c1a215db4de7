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
        page, bans = await self._store.read(self._look)
        after, self._after = self._after, page["last"] if page["count"] == self._page else b""
        if not page["expired"] and not bans:
            return 0
        now = self._clock.now_ms()
        return await self._store.transact(lambda tx: self._drop(tx, after, page["last"], now))

    def _look(self, tx: Tx) -> tuple[Row, list[Row]]:
        now = self._clock.now_ms()
        page = tx.one("idempotency_page", after=self._after, most=self._page, now=now)
        assert page is not None
        return page, tx.all("bans_over", now=now)

    def _drop(self, tx: Tx, after: bytes, last: bytes, now: int) -> int:
        return tx.run("bans_purge", now=now) + tx.run("idempotency_expire", after=after, last=last, now=now)
