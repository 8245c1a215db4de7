"""The relayer's corners in virtual time: crashes around a send, a pause, another holder of the lease, failed jobs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from simulator.chain.port import Commit, Outlook, Sent
from simulator.platform import Platform
from simulator.policy.fees import Fees
from simulator.relayer import PAUSED, Relayer
from tests.support.relaying import FAILS, batches_of, chain_of, heir_of, jobs_of, relayer_of, run, signed_of, submit
from tests.support.tables import tables
from tests.support.virtual import START_MS, settled


def test_a_batch_closes_by_count_at_once_and_by_age_otherwise(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await submit(platform, 25)
        await settled(platform)
        assert [b["count"] for b in await batches_of(platform)] == [10, 10, 5]
        full, _, aged = await batches_of(platform)
        assert aged["closed_at"] - full["closed_at"] >= 20_000

    run(tmp_path, story, batch_max_jobs=10, batch_max_age_s=30.0)


class Killed(BaseException):
    """Stands for the end of the process at this very place."""


@pytest.mark.parametrize("after", [False, True], ids=["before it has left", "after it has left"])
def test_a_kill_around_a_send_neither_loses_nor_doubles_the_root(tmp_path: Path, after: bool) -> None:
    async def story(platform: Platform) -> None:
        chain, honest = chain_of(platform), chain_of(platform).send
        await relayer_of(platform).stop()
        await submit(platform, 3)
        await platform.ports.clock.sleep(60)

        async def killed(raw: bytes) -> Sent:
            if after:
                await honest(raw)
            raise Killed

        chain.send = killed  # type: ignore[method-assign]
        victim = platform._relayer()
        assert isinstance(victim, Relayer)
        await victim._lease.hold()
        with pytest.raises(Killed):
            await victim.step()
        assert [b["state"] for b in await batches_of(platform)] == ["sent"]
        chain.send = honest  # type: ignore[method-assign]
        fresh = platform._relayer()
        await victim._lease.release()
        await fresh.start()
        await settled(platform)
        await fresh.stop()
        assert len(set(chain.sent)) == 1
        assert (await chain.outlook()).nonce == 1
        assert await chain.next_sequence() == 4
        assert [b["state"] for b in await batches_of(platform)] == ["final"]

    run(tmp_path, story)


def test_a_root_that_is_on_chain_already_is_adopted(tmp_path: Path) -> None:
    """As with a store that was restored from a copy: it does not know what it has sent."""

    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        await submit(platform, 3)
        while [b["state"] for b in await batches_of(platform)] != ["mined"]:
            await platform.ports.clock.sleep(0.5)
        await relayer_of(platform).stop()

        tables(platform.ports.store).execute("DELETE FROM batch_transactions")
        tables(platform.ports.store).execute("UPDATE batches SET state = 'closed', tx_hash = NULL, block_number = NULL")
        sent = list(chain.sent)
        fresh = platform._relayer()
        await fresh.start()
        await settled(platform)
        await fresh.stop()
        assert chain.sent == sent

    run(tmp_path, story)


def test_a_pause_confirms_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        store = platform.ports.store
        await store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="1"))
        await submit(platform, 5)
        await platform.ports.clock.sleep(600)
        assert await batches_of(platform) == []
        assert {job["status"] for job in await jobs_of(platform)} == {"completed"}
        await store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="0"))
        await settled(platform)
        assert {job["status"] for job in await jobs_of(platform)} == {"confirmed"}

    run(tmp_path, story)


def test_whoever_lost_the_lease_writes_nothing_more(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        ports = platform.ports
        first = next(s for s in platform._roles._services if isinstance(s, Relayer))
        await first._lease.hold()
        # Another takes it over behind the first one's back, as after a long pause of its process.
        await ports.store.transact(
            lambda tx: tx.run("lease_put", name="relayer", owner="other", epoch=99, expires_at=START_MS + 10**9)
        )
        await submit(platform, 3)
        await ports.clock.sleep(300)
        assert await batches_of(platform) == []
        other = heir_of(platform)
        await ports.store.transact(lambda tx: tx.run("lease_drop", name="relayer", owner="other", epoch=99))
        await other.start()
        await settled(platform)
        await other.stop()
        assert sum(b["count"] for b in await batches_of(platform)) == 3

    run(tmp_path, story)


def test_failed_jobs_are_anchored_keep_their_status_and_share_the_gas(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await submit(platform, 2)
        await submit(platform, 1, FAILS)
        await settled(platform)
        jobs = await jobs_of(platform)
        assert sorted(job["status"] for job in jobs) == ["confirmed", "confirmed", "failed"]
        assert all(job["confirmed_at"] and job["tx_hash"] for job in jobs)
        by_batch: dict[int, int] = {}
        for job in jobs:
            by_batch[job["batch_id"]] = by_batch.get(job["batch_id"], 0) + job["gas_share"]
        assert by_batch == {batch["id"]: batch["gas_used"] for batch in await batches_of(platform)}

    run(tmp_path, story)


def test_a_transaction_that_the_pool_lost_is_sent_again(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        chain.swallow = True
        await submit(platform, 4)
        await platform.ports.clock.sleep(15)
        chain.swallow = False
        await settled(platform)
        assert len(chain.sent) > 1
        assert len(set(chain.sent)) == 1
        assert await chain.next_sequence() == 5

    run(tmp_path, story)


def test_a_stuck_transaction_is_replaced_under_its_nonce_by_a_tenth_more(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, store = chain_of(platform), platform.ports.store
        chain.swallow = True
        await submit(platform, 4)
        await platform.ports.clock.sleep(10)
        chain.swallow, chain.base_fee = False, 4 * chain.base_fee
        await settled(platform)
        (batch,) = await batches_of(platform)
        signed = await store.read(lambda tx: tx.all("batch_transactions", batch_id=batch["id"]))
        assert len(signed) > 1
        assert {row["nonce"] for row in signed} == {0}
        newer, older = signed[0], signed[1]
        assert newer["max_fee"] * 100 >= older["max_fee"] * 110
        assert newer["max_tip"] * 100 >= older["max_tip"] * 110
        assert batch["tx_hash"] == newer["tx_hash"]

    run(tmp_path, story)


def test_whichever_of_its_hashes_is_mined_counts_and_once(tmp_path: Path) -> None:
    """Replaced, mined, reorganised, and then mined under the other hash: one batch, one confirmation."""

    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        chain.base_fee = 10**9
        await submit(platform, 2)
        while not chain.sent:
            await clock.sleep(0.5)
        chain.base_fee = 4 * 10**9
        while len(set(chain.sent)) < 2:
            await clock.sleep(1)
        while [b["state"] for b in await batches_of(platform)] != ["mined"]:
            await clock.sleep(0.5)
        newest = (await batches_of(platform))[0]["tx_hash"]
        chain.reorg(2)
        chain.base_fee = 10**9
        older = next(raw for raw, sent in chain._known.items() if sent.tx_hash != newest)
        chain.drop()
        assert await chain.send(older) is Sent.TAKEN
        chain.swallow = True
        await settled(platform)
        (batch,) = await batches_of(platform)
        assert batch["tx_hash"] == chain._known[older].tx_hash
        assert await chain.next_sequence() == 3

    run(tmp_path, story)


def test_a_nonce_that_something_else_used_is_given_up(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        chain.swallow = True
        await submit(platform, 2)
        while not chain.sent:
            await clock.sleep(0.5)
        chain.swallow = False
        foreign = chain.sign(Commit(99, 1, b"f" * 32), 0, 60_000, Fees(10**10, 10**9))
        await chain.send(foreign.raw)
        await settled(platform)
        assert (await chain.outlook()).nonce == 2
        assert await chain.next_sequence() == 3

    run(tmp_path, story)


def test_a_gap_before_a_nonce_is_filled(tmp_path: Path) -> None:
    """Signed behind a transaction of somebody else that vanished: it would wait for ever."""

    async def story(platform: Platform) -> None:
        chain, store = chain_of(platform), platform.ports.store
        honest = chain.outlook

        async def ahead() -> Outlook:
            found = await honest()
            return dataclasses.replace(found, nonce=found.nonce + 3, pending=found.nonce + 3)

        chain.outlook = ahead  # type: ignore[method-assign]
        await submit(platform, 2)
        while not chain.sent:
            await platform.ports.clock.sleep(0.5)
        chain.outlook = honest  # type: ignore[method-assign]
        await settled(platform)
        signed = await store.read(lambda tx: tx.all("batch_transactions", batch_id=1))
        assert {row["nonce"] for row in signed} == {0, 3}
        assert await chain.next_sequence() == 3

    run(tmp_path, story)


def test_what_was_signed_under_a_nonce_that_was_given_up_moves_no_later_one(tmp_path: Path) -> None:
    """Whoever counted on from it would leave a gap before each batch that follows, and pay for filling it."""

    async def story(platform: Platform) -> None:
        chain, honest = chain_of(platform), chain_of(platform).outlook
        await submit(platform, 1)
        await settled(platform)

        async def ahead() -> Outlook:
            found = await honest()
            return dataclasses.replace(found, nonce=found.nonce + 3, pending=found.nonce + 3)

        chain.outlook = ahead  # type: ignore[method-assign]
        sent = len(chain.sent)
        await submit(platform, 1)
        while len(chain.sent) == sent:
            await platform.ports.clock.sleep(0.5)
        chain.outlook = honest  # type: ignore[method-assign]
        await submit(platform, 6)
        await settled(platform)
        # Each was signed behind the gap, and once more from its beginning on.
        for batch in range(2, 9):
            assert [row["nonce"] for row in await signed_of(platform, batch)] == [batch - 1, batch + 2]
        assert len({batch["block_number"] for batch in (await batches_of(platform))[1:]}) == 1

    run(tmp_path, story, batch_max_jobs=1)


def test_several_roots_are_on_their_way_at_once_in_order(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        await submit(platform, 1)
        await settled(platform)
        await submit(platform, 50)
        await settled(platform)
        batches = await batches_of(platform)
        assert len(batches) == 1 + 50 // 5
        blocks = [b["block_number"] for b in batches]
        assert blocks == sorted(blocks)
        assert len(set(blocks[1:])) < 10
        assert (await chain.outlook()).nonce == len(batches)

    run(tmp_path, story, batch_max_jobs=5)


def test_a_lost_transaction_among_several_is_sent_again_and_the_later_ones_follow(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await submit(platform, 1)
        await settled(platform)
        chain.swallow = True
        await submit(platform, 15)
        while len(set(chain.sent)) < 4:
            await clock.sleep(0.5)
        # The last of the three is in the pool, the first two are lost.
        chain.swallow = False
        await chain.send(next(raw for raw, sent in chain._known.items() if sent.tx_hash == chain.sent[-1]))
        await settled(platform)
        assert (await chain.outlook()).nonce == 4
        assert await chain.next_sequence() == 17

    run(tmp_path, story, batch_max_jobs=5)
