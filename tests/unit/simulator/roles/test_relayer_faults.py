"""The relayer on a chain's bad days, in virtual time: it waits, says why and goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.chain.memory import MemoryChain
from simulator.chain.port import Head
from simulator.platform import Platform
from simulator.relayer import Relayer
from simulator.store.port import Row
from tests.support.relaying import batches_of, chain_of, heir_of, jobs_of, relayer_of, run, state_of, submit, waits_for
from tests.support.virtual import START_MS, settled
from zjops.domain.clock import VirtualClock
from zjops.domain.errors import ChainRefused, ChainUnavailable, Fenced
from zjops.domain.merkle import Tree


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
        chain = chain_of(platform)
        await submit(platform, 1)
        await settled(platform)
        spoil(chain)
        await submit(platform, 3)
        state = await waits_for(platform, reason)
        assert state["state"] == "waiting"
        assert state["address"] == chain.sender
        metrics = platform.telemetry.metrics_text().decode()
        assert f'relayer_waiting{{reason="{reason}"}} 1.0' in metrics
        assert [job["status"] for job in await jobs_of(platform)].count("confirmed") == 1
        _heal(chain)
        await settled(platform)
        assert {job["status"] for job in await jobs_of(platform)} == {"confirmed"}
        state = await state_of(platform)
        assert (state["state"], state["reason"]) == ("active", None)
        assert f'relayer_waiting{{reason="{reason}"}} 0.0' in platform.telemetry.metrics_text().decode()
        assert await chain.next_sequence() == 5

    run(tmp_path, story)


@pytest.mark.parametrize("keep", [False, True], ids=["without the batch", "with the batch"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_reorganisation_up_to_finality_changes_nothing_that_anyone_was_told(
    tmp_path: Path, depth: int, keep: bool
) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await submit(platform, 4)
        while [b["state"] for b in await batches_of(platform)] != ["mined"]:
            await clock.sleep(0.25)
        (before,) = await batches_of(platform)
        while (head := await chain.block("latest")) and head.number < before["block_number"] + depth - 1:
            await clock.sleep(0.1)
        assert {job["status"] for job in await jobs_of(platform)} == {"completed"}
        chain.reorg(depth, keep_transactions=keep)
        await settled(platform)
        (after,) = await batches_of(platform)
        assert {after[n] == before[n] for n in ("id", "first_sequence", "count", "root")} == {True}
        assert after["block_hash"] != before["block_hash"]
        assert await chain.next_sequence() == 5
        events = [row for row in await platform.ports.store.read(_outbox) if row["subject"] == "jobs.confirmed"]
        assert len(events) == 4

    run(tmp_path, story, finality="depth:4")


def _outbox(tx: Any) -> list[Row]:
    found: list[Row] = tx.all("outbox_after", stream="EVENTS", after=0, most=10_000)
    return found


def test_a_reorganisation_beyond_finality_stops_everything_and_says_so(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, store = chain_of(platform), platform.ports.store
        await submit(platform, 4)
        await settled(platform)
        (batch,) = await batches_of(platform)
        head = await chain.block("latest")
        assert head is not None
        chain.reorg(head.number - batch["block_number"] + 1)
        state = await waits_for(platform, "reorg_beyond_finality")
        assert state["state"] == "paused"
        assert "batch 1 " in state["reason"]
        assert 'outcome="reorg_beyond_finality"' in platform.telemetry.metrics_text().decode()
        (told,) = await store.read(lambda tx: tx.all("outbox_after", stream="OPS", after=0, most=100))
        assert told["subject"] == "ops.relayer"
        assert json.loads(told["payload"])["data"]["values"]["batches"] == [1]
        sent, confirmed = list(chain.sent), [job["confirmed_at"] for job in await jobs_of(platform)]
        await submit(platform, 2)
        await platform.ports.clock.sleep(600)
        assert chain.sent == sent
        assert [j["confirmed_at"] for j in await jobs_of(platform) if j["confirmed_at"]] == confirmed
        assert (await state_of(platform))["reason"] == state["reason"]

    run(tmp_path, story)


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
        chain, clock = chain_of(platform), platform.ports.clock
        await submit(platform, 1)
        await settled(platform)
        chain.__class__ = Forked
        assert isinstance(chain, Forked)
        head = await chain.block("latest")
        assert head is not None
        chain.other_from = head.number
        await submit(platform, 3)
        await clock.sleep(120)
        assert [job["status"] for job in await jobs_of(platform)].count("confirmed") == 1
        chain.other_from = None
        await settled(platform)
        assert {job["status"] for job in await jobs_of(platform)} == {"confirmed"}
        assert await chain.next_sequence() == 5

    run(tmp_path, story)


class Skewed(VirtualClock):
    """A wall clock that somebody sets; the monotonic one goes on."""

    skew_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.skew_ms


@pytest.mark.parametrize("skew_s", [-3600, 3600], ids=["an hour behind", "an hour ahead"])
def test_a_wrong_wall_clock_changes_nothing(tmp_path: Path, skew_s: int) -> None:
    async def story(platform: Platform) -> None:
        await relayer_of(platform).stop()
        skewed = Skewed(START_MS)
        platform.ports = dataclasses.replace(platform.ports, clock=skewed)
        relayer = platform._relayer()
        await relayer.start()
        await submit(platform, 2)
        await skewed.sleep(7)
        skewed.skew_ms = skew_s * 1000
        await submit(platform, 2)
        await skewed.sleep(30)
        assert [job["status"] for job in await jobs_of(platform)] == ["confirmed"] * 4
        skewed.skew_ms = 0
        await submit(platform, 2)
        await skewed.sleep(30)
        assert [job["status"] for job in await jobs_of(platform)] == ["confirmed"] * 6
        assert len(chain_of(platform).sent) == len(await batches_of(platform))
        await relayer.stop()

    run(tmp_path, story)


def test_who_was_stopped_past_the_lease_neither_writes_nor_sends(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await relayer_of(platform).stop()
        await submit(platform, 3)
        await clock.sleep(10)
        victim = platform._relayer()
        assert isinstance(victim, Relayer)
        await victim._lease.hold()
        record, heir = victim._sender._record, heir_of(platform)

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

    run(tmp_path, story)


def test_the_leaves_of_every_batch_are_published_and_give_its_root(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        await submit(platform, 7)
        await settled(platform)
        for batch in await batches_of(platform):
            said = json.loads((tmp_path / "batches" / "0" / f"{batch['id']}.json").read_bytes())
            leaves = [bytes.fromhex(leaf[2:]) for leaf in said.pop("leaves")]
            assert said == {
                "schema": "zjops.leaffile/1", "batch": batch["id"], "firstSequence": batch["first_sequence"],
                "count": batch["count"], "root": "0x" + batch["root"].hex(),
            }  # fmt: skip
            assert len(leaves) == batch["count"]
            assert Tree(leaves).root == batch["root"]

    run(tmp_path, story, batch_max_jobs=3)


def test_a_leaf_file_that_a_kill_prevented_is_there_before_the_root_is_sent(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        chain.base_fee = 10**12  # too dear: the batch closes and is not sent
        await submit(platform, 2)
        await waits_for(platform, "fee_over_ceiling")
        file = tmp_path / "batches" / "0" / "1.json"
        written = file.read_bytes()
        file.unlink()
        chain.base_fee = 10**9
        await settled(platform)
        assert file.read_bytes() == written

    run(tmp_path, story)
