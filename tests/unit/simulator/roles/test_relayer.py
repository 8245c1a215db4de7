"""The relayer's corners in virtual time: crashes around a send, a pause, another holder of the lease, failed jobs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.chain.memory import MemoryChain
from simulator.chain.port import Commit, Head, Outlook, Sent
from simulator.environment import Platform, time_skipping
from simulator.policy.fees import Fees
from simulator.relayer import PAUSED, Relayer
from simulator.relayer.reporting import STATE
from simulator.store.port import Row
from tests.support.virtual import START_MS, settled
from zjops.domain.clock import VirtualClock, run_virtual
from zjops.domain.errors import ChainRefused, ChainUnavailable, Fenced
from zjops.domain.merkle import Tree

SIEVE = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100}}
FAILS = {
    "jobType": "compute_heavy",
    "parameters": {"algorithm": "synthetic", "failure": {"kind": "failed", "probability": 1}},
}


def _run(folder: Path, story: Callable[[Platform], Awaitable[Any]], **settings: Any) -> Any:
    async def whole() -> Any:
        platform = time_skipping(1, START_MS, folder, **settings)
        await platform.start()
        try:
            return await story(platform)
        finally:
            await platform.stop()

    return run_virtual(whole())


async def _submit(platform: Platform, count: int, body: dict[str, Any] = SIEVE) -> None:
    tenant = await platform.add_tenant("acme", "enterprise")
    for _ in range(count):
        key = uuid.UUID(bytes=platform.ports.ids.token(16), version=4)
        await platform.intake.submit(tenant, json.dumps(body).encode(), key, None)


async def _batches(platform: Platform) -> list[Row]:
    return await platform.ports.store.read(lambda tx: tx.all("export_batches", after=0, most=100))


async def _jobs(platform: Platform) -> list[Row]:
    return await platform.ports.store.read(lambda tx: tx.all("export_jobs", after=b"", most=1000))


def test_a_batch_closes_by_count_at_once_and_by_age_otherwise(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await _submit(platform, 25)
        await settled(platform)
        assert [b["count"] for b in await _batches(platform)] == [10, 10, 5]
        full, _, aged = await _batches(platform)
        assert aged["closed_at"] - full["closed_at"] >= 20_000

    _run(tmp_path, story, batch_max_jobs=10, batch_max_age_s=30.0)


def _relayer(platform: Platform) -> Relayer:
    return next(s for s in platform._roles._services if isinstance(s, Relayer))


def _chain(platform: Platform) -> MemoryChain:
    chain = platform.ports.chain
    assert isinstance(chain, MemoryChain)
    return chain


def _heir(platform: Platform) -> Relayer:
    """A relayer of another process on the same store."""
    owner, platform._owner = platform._owner, "heir"
    made = platform._relayer()
    platform._owner = owner
    assert isinstance(made, Relayer)
    return made


async def _state(platform: Platform) -> dict[str, Any]:
    row = await platform.ports.store.read(lambda tx: tx.one("setting_get", name=STATE))
    assert row is not None
    found: dict[str, Any] = json.loads(row["value"])
    return found


class Killed(BaseException):
    """Stands for the end of the process at this very place."""


@pytest.mark.parametrize("after", [False, True], ids=["before it has left", "after it has left"])
def test_a_kill_around_a_send_neither_loses_nor_doubles_the_root(tmp_path: Path, after: bool) -> None:
    async def story(platform: Platform) -> None:
        chain, honest = _chain(platform), _chain(platform).send
        await _relayer(platform).stop()
        await _submit(platform, 3)
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
        assert [b["state"] for b in await _batches(platform)] == ["sent"]
        chain.send = honest  # type: ignore[method-assign]
        fresh = platform._relayer()
        await victim._lease.release()
        await fresh.start()
        await settled(platform)
        await fresh.stop()
        assert len(set(chain.sent)) == 1
        assert (await chain.outlook()).nonce == 1
        assert await chain.next_sequence() == 4
        assert [b["state"] for b in await _batches(platform)] == ["final"]

    _run(tmp_path, story)


def test_a_root_that_is_on_chain_already_is_adopted(tmp_path: Path) -> None:
    """As with a store that was restored from a copy: it does not know what it has sent."""

    async def story(platform: Platform) -> None:
        chain, store = _chain(platform), platform.ports.store
        await _submit(platform, 3)
        while [b["state"] for b in await _batches(platform)] != ["mined"]:
            await platform.ports.clock.sleep(0.5)
        await _relayer(platform).stop()

        def forget(tx: Any) -> None:
            tx._connection.execute("DELETE FROM batch_transactions")
            tx._connection.execute("UPDATE batches SET state = 'closed', tx_hash = NULL, block_number = NULL")

        await store.transact(forget)
        sent = list(chain.sent)
        fresh = platform._relayer()
        await fresh.start()
        await settled(platform)
        await fresh.stop()
        assert chain.sent == sent

    _run(tmp_path, story)


def test_a_pause_confirms_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        store = platform.ports.store
        await store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="1"))
        await _submit(platform, 5)
        await platform.ports.clock.sleep(600)
        assert await _batches(platform) == []
        assert {job["status"] for job in await _jobs(platform)} == {"completed"}
        await store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="0"))
        await settled(platform)
        assert {job["status"] for job in await _jobs(platform)} == {"confirmed"}

    _run(tmp_path, story)


def test_whoever_lost_the_lease_writes_nothing_more(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        ports = platform.ports
        first = next(s for s in platform._roles._services if isinstance(s, Relayer))
        await first._lease.hold()
        # Another takes it over behind the first one's back, as after a long pause of its process.
        await ports.store.transact(
            lambda tx: tx.run("lease_put", name="relayer", owner="other", epoch=99, expires_at=START_MS + 10**9)
        )
        await _submit(platform, 3)
        await ports.clock.sleep(300)
        assert await _batches(platform) == []
        other = _heir(platform)
        await ports.store.transact(lambda tx: tx.run("lease_drop", name="relayer", owner="other", epoch=99))
        await other.start()
        await settled(platform)
        await other.stop()
        assert sum(b["count"] for b in await _batches(platform)) == 3

    _run(tmp_path, story)


def test_failed_jobs_are_anchored_keep_their_status_and_share_the_gas(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await _submit(platform, 2)
        await _submit(platform, 1, FAILS)
        await settled(platform)
        jobs = await _jobs(platform)
        assert sorted(job["status"] for job in jobs) == ["confirmed", "confirmed", "failed"]
        assert all(job["confirmed_at"] and job["tx_hash"] for job in jobs)
        by_batch: dict[int, int] = {}
        for job in jobs:
            by_batch[job["batch_id"]] = by_batch.get(job["batch_id"], 0) + job["gas_share"]
        assert by_batch == {batch["id"]: batch["gas_used"] for batch in await _batches(platform)}

    _run(tmp_path, story)


def test_a_transaction_that_the_pool_lost_is_sent_again(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = _chain(platform)
        chain.swallow = True
        await _submit(platform, 4)
        await platform.ports.clock.sleep(15)
        chain.swallow = False
        await settled(platform)
        assert len(chain.sent) > 1
        assert len(set(chain.sent)) == 1
        assert await chain.next_sequence() == 5

    _run(tmp_path, story)


def test_a_stuck_transaction_is_replaced_under_its_nonce_by_a_tenth_more(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, store = _chain(platform), platform.ports.store
        chain.swallow = True
        await _submit(platform, 4)
        await platform.ports.clock.sleep(10)
        chain.swallow, chain.base_fee = False, 4 * chain.base_fee
        await settled(platform)
        (batch,) = await _batches(platform)
        signed = await store.read(lambda tx: tx.all("batch_transactions", batch_id=batch["id"]))
        assert len(signed) > 1
        assert {row["nonce"] for row in signed} == {0}
        newer, older = signed[0], signed[1]
        assert newer["max_fee"] * 100 >= older["max_fee"] * 110
        assert newer["max_tip"] * 100 >= older["max_tip"] * 110
        assert batch["tx_hash"] == newer["tx_hash"]

    _run(tmp_path, story)


def test_whichever_of_its_hashes_is_mined_counts_and_once(tmp_path: Path) -> None:
    """Replaced, mined, reorganised, and then mined under the other hash: one batch, one confirmation."""

    async def story(platform: Platform) -> None:
        chain, clock = _chain(platform), platform.ports.clock
        chain.base_fee = 10**9
        await _submit(platform, 2)
        while not chain.sent:
            await clock.sleep(0.5)
        chain.base_fee = 4 * 10**9
        while len(set(chain.sent)) < 2:
            await clock.sleep(1)
        while [b["state"] for b in await _batches(platform)] != ["mined"]:
            await clock.sleep(0.5)
        newest = (await _batches(platform))[0]["tx_hash"]
        chain.reorg(2)
        chain.base_fee = 10**9
        older = next(raw for raw, sent in chain._known.items() if sent.tx_hash != newest)
        chain.drop()
        assert await chain.send(older) is Sent.TAKEN
        chain.swallow = True
        await settled(platform)
        (batch,) = await _batches(platform)
        assert batch["tx_hash"] == chain._known[older].tx_hash
        assert await chain.next_sequence() == 3

    _run(tmp_path, story)


def test_a_nonce_that_something_else_used_is_given_up(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = _chain(platform), platform.ports.clock
        chain.swallow = True
        await _submit(platform, 2)
        while not chain.sent:
            await clock.sleep(0.5)
        chain.swallow = False
        foreign = chain.sign(Commit(99, 1, b"f" * 32), 0, 60_000, Fees(10**10, 10**9))
        await chain.send(foreign.raw)
        await settled(platform)
        assert (await chain.outlook()).nonce == 2
        assert await chain.next_sequence() == 3

    _run(tmp_path, story)


def test_a_gap_before_a_nonce_is_filled(tmp_path: Path) -> None:
    """Signed behind a transaction of somebody else that vanished: it would wait for ever."""

    async def story(platform: Platform) -> None:
        chain, store = _chain(platform), platform.ports.store
        honest = chain.outlook

        async def ahead() -> Outlook:
            found = await honest()
            return dataclasses.replace(found, nonce=found.nonce + 3, pending=found.nonce + 3)

        chain.outlook = ahead  # type: ignore[method-assign]
        await _submit(platform, 2)
        while not chain.sent:
            await platform.ports.clock.sleep(0.5)
        chain.outlook = honest  # type: ignore[method-assign]
        await settled(platform)
        signed = await store.read(lambda tx: tx.all("batch_transactions", batch_id=1))
        assert {row["nonce"] for row in signed} == {0, 3}
        assert await chain.next_sequence() == 3

    _run(tmp_path, story)


def test_several_roots_are_on_their_way_at_once_in_order(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = _chain(platform)
        await _submit(platform, 1)
        await settled(platform)
        await _submit(platform, 50)
        await settled(platform)
        batches = await _batches(platform)
        assert len(batches) == 1 + 50 // 5
        blocks = [b["block_number"] for b in batches]
        assert blocks == sorted(blocks)
        assert len(set(blocks[1:])) < 10
        assert (await chain.outlook()).nonce == len(batches)

    _run(tmp_path, story, batch_max_jobs=5)


def test_a_lost_transaction_among_several_is_sent_again_and_the_later_ones_follow(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = _chain(platform), platform.ports.clock
        await _submit(platform, 1)
        await settled(platform)
        chain.swallow = True
        await _submit(platform, 15)
        while len(set(chain.sent)) < 4:
            await clock.sleep(0.5)
        # The last of the three is in the pool, the first two are lost.
        chain.swallow = False
        await chain.send(next(raw for raw, sent in chain._known.items() if sent.tx_hash == chain.sent[-1]))
        await settled(platform)
        assert (await chain.outlook()).nonce == 4
        assert await chain.next_sequence() == 17

    _run(tmp_path, story, batch_max_jobs=5)


async def _wait_for(platform: Platform, reason: str) -> dict[str, Any]:
    """The relayer's state once it waits for that reason."""
    async with asyncio.timeout(600):
        while True:
            with contextlib.suppress(AssertionError):
                state = await _state(platform)
                if (state["reason"] or "").startswith(reason):
                    return state
            await platform.ports.clock.sleep(0.5)


def _heal(chain: MemoryChain) -> None:
    chain.fault, chain.paused, chain.base_fee, chain.balance, chain.stale = None, False, 10**9, 10**24, 0


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("fee_over_ceiling", lambda chain: setattr(chain, "base_fee", 10**12)),
        ("out_of_funds", lambda chain: setattr(chain, "balance", 5)),
        ("contract_paused", lambda chain: setattr(chain, "paused", True)),
        ("wrong_chain", lambda chain: setattr(chain, "fault", ChainRefused("chain 1, not 2", "wrong_chain"))),
        ("wrong_contract", lambda chain: setattr(chain, "fault", ChainRefused("no contract", "wrong_contract"))),
        ("rpc_unavailable", lambda chain: setattr(chain, "fault", ChainUnavailable("away"))),
        ("rpc_rate_limited", lambda chain: setattr(chain, "fault", ChainUnavailable("429", "rpc_rate_limited"))),
        ("node_behind", lambda chain: setattr(chain, "stale", 40)),
    ],
)
def test_it_waits_says_why_and_goes_on(tmp_path: Path, reason: str, spoil: Callable[[MemoryChain], None]) -> None:
    async def story(platform: Platform) -> None:
        chain = _chain(platform)
        await _submit(platform, 1)
        await settled(platform)
        spoil(chain)
        await _submit(platform, 3)
        state = await _wait_for(platform, reason)
        assert state["state"] == "waiting"
        assert state["address"] == chain.sender
        metrics = platform.telemetry.metrics_text().decode()
        assert f'relayer_waiting{{reason="{reason}"}} 1.0' in metrics
        assert [job["status"] for job in await _jobs(platform)].count("confirmed") == 1
        _heal(chain)
        await settled(platform)
        assert {job["status"] for job in await _jobs(platform)} == {"confirmed"}
        state = await _state(platform)
        assert (state["state"], state["reason"]) == ("active", None)
        assert f'relayer_waiting{{reason="{reason}"}} 0.0' in platform.telemetry.metrics_text().decode()
        assert await chain.next_sequence() == 5

    _run(tmp_path, story)


def test_an_endpoint_that_is_away_is_asked_less_and_less(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = _chain(platform), platform.ports.clock
        asked: list[float] = []
        honest = chain.block

        async def counted(at: int | str) -> Any:
            asked.append(clock.monotonic())
            return await honest(at)

        chain.block = counted  # type: ignore[method-assign]
        chain.fault = ChainUnavailable("away")
        await clock.sleep(300)
        chain.fault = None
        chain.block = honest  # type: ignore[method-assign]
        assert len(asked) == 0  # the identity is asked first, and fails
        await _submit(platform, 1)
        await settled(platform)

    _run(tmp_path, story)


@pytest.mark.parametrize("keep", [False, True], ids=["without the batch", "with the batch"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_reorganisation_up_to_finality_changes_nothing_that_anyone_was_told(
    tmp_path: Path, depth: int, keep: bool
) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = _chain(platform), platform.ports.clock
        await _submit(platform, 4)
        while [b["state"] for b in await _batches(platform)] != ["mined"]:
            await clock.sleep(0.25)
        (before,) = await _batches(platform)
        while (head := await chain.block("latest")) and head.number < before["block_number"] + depth - 1:
            await clock.sleep(0.1)
        assert {job["status"] for job in await _jobs(platform)} == {"completed"}
        chain.reorg(depth, keep_transactions=keep)
        await settled(platform)
        (after,) = await _batches(platform)
        assert {after[n] == before[n] for n in ("id", "first_sequence", "count", "root")} == {True}
        assert after["block_hash"] != before["block_hash"]
        assert await chain.next_sequence() == 5
        events = [row for row in await platform.ports.store.read(_outbox) if row["subject"] == "jobs.confirmed"]
        assert len(events) == 4

    _run(tmp_path, story, finality="depth:4")


def _outbox(tx: Any) -> list[Row]:
    found: list[Row] = tx.all("outbox_after", stream="EVENTS", after=0, most=10_000)
    return found


def test_a_reorganisation_beyond_finality_stops_everything_and_says_so(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, store = _chain(platform), platform.ports.store
        await _submit(platform, 4)
        await settled(platform)
        (batch,) = await _batches(platform)
        head = await chain.block("latest")
        assert head is not None
        chain.fault = ChainUnavailable("429", "rpc_rate_limited")
        await _wait_for(platform, "rpc_rate_limited")
        chain.fault = None
        chain.reorg(head.number - batch["block_number"] + 1)
        state = await _wait_for(platform, "reorg_beyond_finality")
        assert state["state"] == "paused"
        assert "batch 1 " in state["reason"]
        metrics = platform.telemetry.metrics_text().decode()
        assert 'outcome="reorg_beyond_finality"' in metrics
        assert 'relayer_waiting{reason="reorg_beyond_finality"} 1.0' in metrics
        assert 'relayer_waiting{reason="rpc_rate_limited"} 0.0' in metrics
        (told,) = await store.read(lambda tx: tx.all("outbox_after", stream="OPS", after=0, most=100))
        assert told["subject"] == "ops.relayer"
        assert json.loads(told["payload"])["data"]["values"]["batches"] == [1]
        sent, confirmed = list(chain.sent), [job["confirmed_at"] for job in await _jobs(platform)]
        await _submit(platform, 2)
        await platform.ports.clock.sleep(600)
        assert chain.sent == sent
        assert [j["confirmed_at"] for j in await _jobs(platform) if j["confirmed_at"]] == confirmed
        assert (await _state(platform))["reason"] == state["reason"]

    _run(tmp_path, story)


class Forked(MemoryChain):
    """Two nodes behind one address, in turn, that disagree about every block from a height on."""

    other_from: int | None = None
    turn = 0

    def _block(self, number: int) -> Head:
        block = super()._block(number)
        self.turn += 1
        if self.other_from is None or number < self.other_from or self.turn % 2:
            return block
        parent = block.parent if number == self.other_from else "0x" + f"{number - 1:064x}"
        return dataclasses.replace(block, hash="0x" + f"{number:064x}", parent=parent)


def test_two_nodes_that_disagree_confirm_nothing_until_they_agree(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = _chain(platform), platform.ports.clock
        await _submit(platform, 1)
        await settled(platform)
        chain.__class__ = Forked
        assert isinstance(chain, Forked)
        head = await chain.block("latest")
        assert head is not None
        chain.other_from = head.number
        await _submit(platform, 3)
        await clock.sleep(120)
        assert [job["status"] for job in await _jobs(platform)].count("confirmed") == 1
        chain.other_from = None
        await settled(platform)
        assert {job["status"] for job in await _jobs(platform)} == {"confirmed"}
        assert await chain.next_sequence() == 5

    _run(tmp_path, story)


class Skewed(VirtualClock):
    """A wall clock that somebody sets; the monotonic one goes on."""

    skew_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.skew_ms


@pytest.mark.parametrize("skew_s", [-3600, 3600], ids=["an hour behind", "an hour ahead"])
def test_a_wrong_wall_clock_changes_nothing(tmp_path: Path, skew_s: int) -> None:
    async def story(platform: Platform) -> None:
        await _relayer(platform).stop()
        skewed = Skewed(START_MS)
        platform.ports = dataclasses.replace(platform.ports, clock=skewed)
        relayer = platform._relayer()
        await relayer.start()
        await _submit(platform, 2)
        await skewed.sleep(7)
        skewed.skew_ms = skew_s * 1000
        await _submit(platform, 2)
        await skewed.sleep(30)
        assert [job["status"] for job in await _jobs(platform)] == ["confirmed"] * 4
        skewed.skew_ms = 0
        await _submit(platform, 2)
        await skewed.sleep(30)
        assert [job["status"] for job in await _jobs(platform)] == ["confirmed"] * 6
        assert len(_chain(platform).sent) == len(await _batches(platform))
        await relayer.stop()

    _run(tmp_path, story)


def test_who_was_stopped_past_the_lease_neither_writes_nor_sends(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = _chain(platform), platform.ports.clock
        await _relayer(platform).stop()
        await _submit(platform, 3)
        await clock.sleep(10)
        victim = platform._relayer()
        assert isinstance(victim, Relayer)
        await victim._lease.hold()
        record, heir = victim._sender._record, _heir(platform)

        async def stopped(*given: Any) -> Any:
            raw = await record(*given)
            await clock.sleep(platform.settings.lease_s + 1)  # as by SIGSTOP between record and send
            return raw

        victim._sender._record = stopped  # type: ignore[method-assign]
        with pytest.raises(Fenced):
            await victim.step()
        assert chain.sent == []
        await heir.start()
        await settled(platform)
        await heir.stop()
        assert len(set(chain.sent)) == 1
        with pytest.raises(Fenced):
            await victim._desk.write("batches_reopened", id=1)

    _run(tmp_path, story)


def test_the_leaves_of_every_batch_are_published_and_give_its_root(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await _submit(platform, 7)
        await settled(platform)
        for batch in await _batches(platform):
            said = json.loads((tmp_path / "batches" / f"{batch['id']}.json").read_bytes())
            leaves = [bytes.fromhex(leaf[2:]) for leaf in said.pop("leaves")]
            assert said == {
                "schema": "zjops.batch/1", "batch": batch["id"], "firstSequence": batch["first_sequence"],
                "count": batch["count"], "root": "0x" + batch["root"].hex(),
            }  # fmt: skip
            assert len(leaves) == batch["count"]
            assert Tree(leaves).root == batch["root"]

    _run(tmp_path, story, batch_max_jobs=3)


def test_a_leaf_file_that_a_kill_prevented_is_there_before_the_root_is_sent(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = _chain(platform)
        chain.base_fee = 10**12  # too dear: the batch closes and is not sent
        await _submit(platform, 2)
        await _wait_for(platform, "fee_over_ceiling")
        file = tmp_path / "batches" / "1.json"
        written = file.read_bytes()
        file.unlink()
        chain.base_fee = 10**9
        await settled(platform)
        assert file.read_bytes() == written

    _run(tmp_path, story)
