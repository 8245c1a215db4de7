"""What the relayer does not believe at once: each check that stands between one node's word and a confirmation."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simulator.chain.memory import MemoryChain
from simulator.chain.port import ChainIdentity, Head, Sent
from simulator.platform import Platform
from tests.support.relaying import (
    batches_of,
    becomes,
    chain_of,
    heir_of,
    jobs_of,
    relayer_of,
    run,
    signed_of,
    state_of,
    submit,
    waits_for,
)
from tests.support.virtual import settled
from zjops.domain.errors import ChainUnavailable


class Liar:
    """A node that, while it lies, shows other hashes, other parents or another final block."""

    def __init__(self, chain: MemoryChain) -> None:
        self._chain, self._honest = chain, chain.block
        self.hash_of: int | None = None
        self.parents_from: int | None = None
        self.tag: str | None = None
        self.asked = 0
        chain.block = self.block  # type: ignore[method-assign]

    async def block(self, at: int | str) -> Head | None:
        """A block as this node shows it."""
        self.asked += 1
        found = await self._honest(at)
        if found is None:
            return None
        if found.number == self.hash_of or (at == self.tag and at != "latest"):
            return dataclasses.replace(found, hash="0x" + "66" * 32)
        if self.parents_from is not None and found.number >= self.parents_from:
            return dataclasses.replace(found, parent="0x" + "77" * 32)
        return found

    async def head(self) -> int:
        """The true newest block."""
        found = await self._honest("latest")
        assert found is not None
        return found.number

    def stop(self) -> None:
        """Tell the truth from now on."""
        self.hash_of = self.parents_from = self.tag = None


async def _mined(platform: Platform) -> int:
    """Have a batch mined; returns its block."""
    await submit(platform, 2)
    (batch,) = await becomes(platform, "mined", every_s=0.1)
    return int(batch["block_number"])


async def _final_at(platform: Platform, liar: Liar) -> int:
    """The newest block at which the batch was called final."""
    await becomes(platform, "final", every_s=0.1)
    return await liar.head()


async def _stays_mined(platform: Platform, seconds: float) -> None:
    await platform.ports.clock.sleep(seconds)
    assert [batch["state"] for batch in await batches_of(platform)] == ["mined"]
    assert {job["status"] for job in await jobs_of(platform)} == {"completed"}


def test_blocks_that_do_not_stand_on_each_other_make_nothing_final(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        liar = Liar(chain_of(platform))
        liar.parents_from = await _mined(platform) + 1
        assert "does not stand on block" in (await waits_for(platform, "nodes_disagree"))["reason"]
        await _stays_mined(platform, 300)
        liar.stop()
        await settled(platform)

    run(tmp_path, story, finality="depth:4")


def test_a_root_that_the_newest_state_has_not_makes_nothing_final(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        honest = chain.root_of
        await _mined(platform)

        async def nothing(first: int, at: int | str = "latest") -> bytes | None:
            return None

        chain.root_of = nothing  # type: ignore[method-assign]
        assert "its root is not there" in (await waits_for(platform, "nodes_disagree"))["reason"]
        await _stays_mined(platform, 300)
        chain.root_of = honest  # type: ignore[method-assign]
        await settled(platform)

    run(tmp_path, story, finality="depth:4")


def test_a_final_block_that_another_node_does_not_know_makes_nothing_final(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        liar = Liar(chain_of(platform))
        liar.tag = "finalized"
        await _mined(platform)
        assert "two nodes name different final blocks" in (await waits_for(platform, "nodes_disagree"))["reason"]
        await _stays_mined(platform, 300)
        liar.stop()
        await settled(platform)

    run(tmp_path, story, finality="finalized")


def test_after_a_batchs_block_had_another_hash_its_blocks_are_counted_anew(tmp_path: Path) -> None:
    """Another node answered once: whatever it stood on may have answered before."""

    async def story(platform: Platform) -> None:
        clock, liar = platform.ports.clock, Liar(chain_of(platform))
        block = await _mined(platform)
        while await liar.head() < block + 4:
            await clock.sleep(0.1)
        liar.hash_of = block
        state = await waits_for(platform, "nodes_disagree")
        assert "has another hash than the receipt" in state["reason"]
        doubted = await liar.head()
        liar.stop()
        assert await _final_at(platform, liar) >= doubted + 6

    run(tmp_path, story, finality="depth:6")


def test_a_long_outage_is_not_gone_over_block_by_block(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        liar = Liar(chain)
        await _mined(platform)
        await relayer_of(platform).stop()
        await clock.sleep(20_000)
        honest, once = chain.root_of, [True]

        async def forgetful(first: int, at: int | str = "latest") -> bytes | None:
            return None if once and once.pop() else await honest(first, at)

        chain.root_of = forgetful  # type: ignore[method-assign]
        heir, liar.asked = heir_of(platform), 0
        await heir.start()
        await becomes(platform, "final")
        assert liar.asked < 100
        await heir.stop()

    run(tmp_path, story)


@pytest.mark.parametrize(("blocks", "halts"), [(2, False), (4, True)], ids=["two blocks long", "longer"])
def test_a_final_block_is_gone_only_when_several_blocks_say_so(tmp_path: Path, blocks: int, halts: bool) -> None:
    async def story(platform: Platform) -> None:
        clock, liar = platform.ports.clock, Liar(chain_of(platform))
        block = await _mined(platform)
        await settled(platform)
        while (await liar.head()) % 2 or clock.now_ms() % 1000:
            await clock.sleep(0.05)
        liar.hash_of = block
        await clock.sleep(blocks - 0.05)
        liar.stop()
        await clock.sleep(60)
        state = await state_of(platform)
        assert state["state"] == ("paused" if halts else "active"), state

    run(tmp_path, story, block_time_s=1.0, batch_max_age_s=1.0)


def test_many_looks_at_one_block_are_one_word(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        liar = Liar(chain)
        block = await _mined(platform)
        await settled(platform)
        chain.stall()
        liar.hash_of = block
        await waits_for(platform, "nodes_disagree")
        await clock.sleep(600)
        assert (await state_of(platform))["state"] == "waiting"
        chain.resume()
        await waits_for(platform, "reorg_beyond_finality")

    run(tmp_path, story)


@pytest.mark.parametrize(("blocks", "signs_anew"), [(2, False), (6, True)], ids=["two blocks long", "longer"])
def test_a_nonce_is_lost_only_when_several_blocks_say_so(tmp_path: Path, blocks: int, signs_anew: bool) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        chain.base_fee, honest = 4 * 10**9, chain.send
        await submit(platform, 1)
        await settled(platform)
        chain.wanted_tip = 10**12
        await submit(platform, 2)
        await becomes(platform, "final", "sent", every_s=0.1)
        until = float("inf")

        async def send(raw: bytes) -> Sent:
            nonlocal until
            if until == float("inf"):
                until = clock.monotonic() + blocks - 0.05
            return Sent.NONCE_USED if clock.monotonic() < until else await honest(raw)

        chain.send = send  # type: ignore[method-assign]
        await clock.sleep(15)
        assert (len(await signed_of(platform, 2)) > 1) is signs_anew
        chain.wanted_tip = 0
        await settled(platform)

    run(tmp_path, story)


def test_an_endpoint_that_is_away_is_asked_less_and_less(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        asked: list[float] = []

        async def away() -> ChainIdentity:
            asked.append(clock.monotonic())
            raise ChainUnavailable("away")

        await submit(platform, 1)
        await settled(platform)
        honest, chain.identity = chain.identity, away  # type: ignore[method-assign]
        await waits_for(platform, "rpc_unavailable")
        await clock.sleep(300)
        gaps = [later - former for former, later in pairwise(asked)]
        assert all(later >= former - 0.5 for former, later in pairwise(gaps)), gaps
        assert max(gaps[:2]) <= 1
        assert [round(gap) for gap in gaps[-5:]] == [30] * 5
        assert len(asked) < 20
        chain.identity = honest  # type: ignore[method-assign]
        await submit(platform, 1)
        await settled(platform)

    run(tmp_path, story)


@pytest.mark.parametrize("roots", [0.5, 1.5, 2.5])
def test_nothing_is_signed_that_the_account_cannot_pay_together_with_what_is_on_its_way(
    tmp_path: Path, roots: float
) -> None:
    """A node takes the first of several and strands the others."""

    async def story(platform: Platform) -> None:
        chain: Any = chain_of(platform)
        await submit(platform, 1)
        await settled(platform)
        (signed,) = await signed_of(platform, 1)
        chain.swallow, chain.balance = True, int(roots * signed["gas"] * signed["max_fee"])
        await submit(platform, 5)
        state = await waits_for(platform, "out_of_funds")
        assert f"{chain.sender} holds {chain.balance} wei and needs" in state["reason"]
        await platform.ports.clock.sleep(20)
        assert [len(await signed_of(platform, batch)) for batch in range(2, 7)].count(1) == int(roots)
        chain.swallow, chain.balance = False, 10**24
        await settled(platform)

    run(tmp_path, story, batch_max_jobs=1)
