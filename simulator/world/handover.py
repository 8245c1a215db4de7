"""What a world hands over to a platform that goes on from it: its tenants with what they have used, and its numbers."""

from __future__ import annotations

from collections.abc import Callable

from simulator.store.port import Tx
from simulator.world.front import KEPT
from simulator.world.ledger import Kept


def handing_over(kept: Kept, at_ms: int) -> Callable[[Tx], None]:
    """A transaction that makes an empty store one in which the world is over: at `at_ms` (Unix ms), with no job left.

    The next row of the outbox and the next batch have the numbers behind the world's.
    """

    def put(tx: Tx) -> None:
        for table in KEPT:
            tx.many(f"load_{table}", kept.tables[table])
        tx.run("load_outbox_end", n=kept.numbers["outbox"], now=at_ms)
        tx.run("outbox_mark", upto=kept.numbers["outbox"], now=at_ms)
        tx.run("load_batches_end", n=kept.numbers["batches"])

    return put
