"""Idempotency keys are kept for 24 hours (R24) and then removed, a part of the key space at a time."""

from __future__ import annotations

import contextlib

from simulator.service import Looped
from simulator.store.port import Store
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError

PARTS = 256
"""By the first byte of the hash: a part of a million keys is 4,000 rows, which no submission waits for long."""
ROUND_S = 3600.0
"""How often every part is looked at."""


class Expiry(Looped):
    """Removes keys that have expired. Several processes may do it; a key that is used anew is claimed, not removed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__("idempotency expiry")
        self._store, self._clock = store, clock

    async def sweep(self, part: int) -> int:
        """Remove one part's expired keys; returns how many there were. Raises `StoreUnavailable`."""
        first, last = bytes([part]), bytes([part + 1]) if part + 1 < PARTS else b"\xff" * 17
        now = self._clock.now_ms()
        return await self._store.transact(lambda tx: tx.run("idempotency_purge", first=first, last=last, now=now))

    async def _run(self) -> None:
        while True:
            for part in range(PARTS):
                await self._clock.sleep(ROUND_S / PARTS)
                # While the store is away there is nothing to sweep; the part has its turn again.
                with contextlib.suppress(UnreachableError):
                    await self.sweep(part)
