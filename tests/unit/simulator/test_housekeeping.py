"""What has had its time goes, and nothing else."""

from __future__ import annotations

from typing import Any

from simulator.housekeeping import Housekeeper
from simulator.store.port import Tx
from simulator.store.sqlite import MemorySqliteStore
from simulator.telemetry import Telemetry
from zjops.domain.clock import ManualClock

DAY_MS = 86_400_000


async def test_keys_go_after_their_day_page_by_page_and_bans_when_they_are_over() -> None:
    store, clock = MemorySqliteStore(), ManualClock(DAY_MS)
    await store.start()

    def put(tx: Tx) -> None:
        for n in range(7):
            until = DAY_MS if n % 2 else DAY_MS + 1
            tx.many("idempotency_claim", [(bytes([n]), b"j", b"f", until, 0)])
        for address, until in (("203.0.113.1", DAY_MS), ("203.0.113.2", DAY_MS + 1)):
            tx.run("ban_put", address=address, until=until, reason="test")

    def left(tx: Tx) -> tuple[list[int], list[Any]]:
        keys = [row["scope_hash"][0] for row in tx.all("idempotency_walk", after=b"", most=100)]
        return keys, [row["address"] for row in tx.all("bans_now", now=0)]

    await store.transact(put)
    keeper = Housekeeper(store, clock, Telemetry("test", clock, stream=None), every_s=1.0, page=3)
    assert [await keeper.tidy() for _ in range(4)] == [2, 2, 0, 0]
    assert await store.read(left) == ([0, 2, 4, 6], ["203.0.113.2"])
    clock.advance(1)
    assert sum([await keeper.tidy() for _ in range(4)]) == 5
    assert await store.read(left) == ([], [])
    await store.stop()
