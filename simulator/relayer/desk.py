"""What every part of the relayer works with, and the two gates: a write under the lease, a send under the lease."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.chain.port import Chain, Sent
from simulator.lease import Lease
from simulator.store.port import Store, T, Tx, Work
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.ids import Ids


@dataclass(frozen=True)
class Desk:
    """The relayer's ports and its lease."""

    store: Store
    chain: Chain
    clock: Clock
    ids: Ids
    telemetry: Telemetry
    lease: Lease

    async def transact(self, work: Work[T]) -> T:
        """Run a transaction only as long as the lease holds. Raises `Fenced`."""

        def guarded(tx: Tx) -> T:
            self.lease.guard(tx)
            return work(tx)

        return await self.store.transact(guarded)

    async def write(self, query: str, **params: object) -> None:
        """Run one statement under the lease."""
        await self.transact(lambda tx: tx.run(query, **params))

    async def send(self, raw: bytes) -> Sent:
        """Hand a transaction to the chain under the lease. Raises `Fenced`.

        Whoever was stopped for longer than the lease and goes on here must not send. What would be sent is in the
        store in any case, byte for byte, so that even the last moment between look and send does no harm.
        """
        self.lease.check()
        return await self.chain.send(raw)
