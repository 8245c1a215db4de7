"""One-time tickets: what a browser may put into an address, because it is worth nothing a moment later (C28)."""

from __future__ import annotations

import hashlib

import msgspec

from simulator.identity.verifier import Principal
from simulator.store.port import Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.ids import Ids, base58

LIFETIME_S = 60


class Tickets:
    """Kept in the store by digest, so that any process of the API may take them."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids

    async def issue(self, principal: Principal) -> str:
        """A ticket for this principal, good once within a minute."""
        ticket, now = base58(self._ids.token(32)), self._clock.now_ms()
        kept = msgspec.json.encode(principal._replace(scopes=frozenset(principal.scopes))).decode()

        def put(tx: Tx) -> None:
            tx.run("tickets_purge", now=now)
            tx.run("ticket_put", digest=_digest(ticket), principal=kept, expires_at=now + LIFETIME_S * 1000)

        await self._store.transact(put)
        return ticket

    async def take(self, ticket: str) -> Principal | None:
        """Whose ticket it was; None when it is unknown, used or late."""
        rows = await self._store.transact(lambda tx: tx.all("ticket_take", digest=_digest(ticket)))
        if not rows or rows[0]["expires_at"] < self._clock.now_ms():
            return None
        return msgspec.json.decode(rows[0]["principal"], type=Principal)


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
