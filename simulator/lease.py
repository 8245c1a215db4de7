"""Leases in the store: one holder at a time, told apart by an epoch that every write of the holder checks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from simulator.store.port import Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.errors import Fenced, UnreachableError


class Lease:
    """A named lease of `ttl_s` seconds. `hold` takes or renews it; `guard` belongs into every write made under it."""

    def __init__(self, store: Store, clock: Clock, name: str, owner: str, ttl_s: float) -> None:
        self._store, self._clock = store, clock
        self._name, self._owner, self._ttl_s = name, owner, ttl_s
        self._epoch = 0
        self._renewed_at = float("-inf")
        self._turn = asyncio.Lock()
        self._busy = False

    @property
    def owner(self) -> str:
        """Who holds it, or wants to."""
        return self._owner

    def check(self) -> None:
        """Raise `Fenced` when this owner has not renewed it in time: before an act that no transaction can guard."""
        if not self._epoch or self._clock.monotonic() - self._renewed_at >= self._ttl_s:
            self._epoch, self._renewed_at = 0, float("-inf")
            raise Fenced

    async def hold(self) -> bool:
        """Whether this owner holds the lease now; renews it once a third of its time has gone."""
        async with self._turn:
            now = self._clock.monotonic()
            if self._epoch and now - self._renewed_at < self._ttl_s / 3:
                return True
            self._epoch = await self._store.transact(self._take)
            self._renewed_at = now
            return self._epoch > 0

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Have `keep` renew it while something runs that may take longer than the lease."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def keep(self) -> None:
        """Renew it for ever, a third of its time apart, while its holder is busy."""
        while True:
            await self._clock.sleep(self._ttl_s / 3)
            if self._busy:
                with contextlib.suppress(UnreachableError):
                    await self._renew()

    async def _renew(self) -> None:
        """Lengthen what is held, and never take it anew: what was read under one epoch is not written under another."""
        async with self._turn:
            now = self._clock.monotonic()
            if self._epoch and await self._store.transact(self._lengthen):
                self._renewed_at = now

    def _lengthen(self, tx: Tx) -> bool:
        row = tx.one("lease_get", name=self._name)
        if row is None or (row["owner"], row["epoch"]) != (self._owner, self._epoch):
            self._epoch, self._renewed_at = 0, float("-inf")
            return False
        expires = self._clock.now_ms() + round(self._ttl_s * 1000)
        tx.run("lease_put", name=self._name, owner=self._owner, epoch=self._epoch, expires_at=expires)
        return True

    def _take(self, tx: Tx) -> int:
        now = self._clock.now_ms()
        row = tx.one("lease_get", name=self._name)
        mine = row is not None and row["owner"] == self._owner and row["epoch"] == self._epoch
        if row is not None and not mine and row["expires_at"] > now:
            return 0
        epoch = self._epoch if mine else (row["epoch"] if row else 0) + 1
        expires = now + round(self._ttl_s * 1000)
        tx.run("lease_put", name=self._name, owner=self._owner, epoch=epoch, expires_at=expires)
        return epoch

    async def release(self) -> None:
        """Give the lease back, so that another need not wait for its end. Safe when it is not held."""
        if self._epoch:
            await self._store.transact(
                lambda tx: tx.run("lease_drop", name=self._name, owner=self._owner, epoch=self._epoch)
            )
        self._epoch, self._renewed_at = 0, float("-inf")

    def guard(self, tx: Tx) -> None:
        """Raise `Fenced` unless this epoch still holds: serializable transactions make it as good as a WHERE."""
        row = tx.one("lease_get", name=self._name)
        if row is None or row["owner"] != self._owner or row["epoch"] != self._epoch:
            self._epoch, self._renewed_at = 0, float("-inf")
            raise Fenced
