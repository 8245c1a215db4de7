"""What the relayer pays: never more because a chain stands still, a pool forgets or an answer is lost."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from simulator.chain.port import Sent
from simulator.platform import Platform
from simulator.relayer.sending import GWEI
from tests.support.relaying import (
    batches_of,
    becomes,
    chain_of,
    jobs_of,
    metric,
    run,
    signed_of,
    state_of,
    submit,
    waits_for,
)
from tests.support.virtual import settled
from zjops.domain.errors import ChainRefused, ChainUnavailable


async def _follows(platform: Platform) -> None:
    """Have one batch final, so that the gas of a root is known, and another one sent."""
    await submit(platform, 1)
    await settled(platform)
    await submit(platform, 2)


def test_a_chain_that_makes_no_blocks_is_not_outbid(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await _follows(platform)
        chain.stall()
        await becomes(platform, "final", "sent")
        state = await waits_for(platform, "chain_stalled")
        assert state["state"] == "waiting"
        assert metric(platform, 'relayer_waiting{reason="chain_stalled"}') == 1
        await clock.sleep(3600)
        assert len(await signed_of(platform, 2)) == 1
        assert (await state_of(platform))["since_ms"] == state["since_ms"]
        chain.resume()
        await settled(platform)
        first, second = await batches_of(platform)
        assert second["gas_price"] == first["gas_price"]
        assert (await state_of(platform))["reason"] is None

    run(tmp_path, story)


def test_blocks_that_were_made_before_it_led_do_not_count(tmp_path: Path) -> None:
    """A few blocks, then none: what was passed over twice is not stuck, however long that was ago."""

    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await _follows(platform)
        chain.wanted_tip = 10**12
        await becomes(platform, "final", "sent", every_s=0.1)
        await clock.sleep(2)
        chain.stall()
        await clock.sleep(600)
        assert len(await signed_of(platform, 2)) == 1

    run(tmp_path, story)


def test_a_good_offer_that_the_pool_forgets_is_sent_again_and_not_raised(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await _follows(platform)
        chain.swallow = True
        await becomes(platform, "final", "sent")
        before = len(chain.sent)
        assert (await waits_for(platform, "transaction_dropped"))["state"] == "waiting"
        await clock.sleep(600)
        assert len(await signed_of(platform, 2)) == 1
        assert len(chain.sent) - before > 100
        chain.swallow = False
        await settled(platform)
        first, second = await batches_of(platform)
        assert second["gas_price"] == first["gas_price"]
        assert (await state_of(platform))["reason"] is None

    run(tmp_path, story)


def test_what_blocks_pass_over_is_raised_until_they_take_it_a_tenth_each_half_minute(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        await _follows(platform)
        chain.wanted_tip = 2 * GWEI
        await settled(platform)
        signed = list(reversed(await signed_of(platform, 2)))
        assert {row["nonce"] for row in signed} == {signed[0]["nonce"]}
        for older, newer in pairwise(signed):
            assert newer["signed_at"] - older["signed_at"] >= 30_000
            assert newer["max_tip"] * 100 >= older["max_tip"] * 110
        assert signed[-2]["max_tip"] < 2 * GWEI <= signed[-1]["max_tip"] < 2.3 * GWEI
        assert (await batches_of(platform))[1]["tx_hash"] == signed[-1]["tx_hash"]

    run(tmp_path, story)


def test_a_tip_ends_at_its_own_ceiling_and_says_so(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await _follows(platform)
        chain.tip, chain.wanted_tip = 1000 * GWEI, 2000 * GWEI
        state = await waits_for(platform, "fee_over_ceiling")
        assert "4 for the tip" in state["reason"]
        await clock.sleep(3600)
        signed = await signed_of(platform, 2)
        assert max(row["max_tip"] for row in signed) <= 4 * GWEI
        assert signed[-1]["max_tip"] <= 2 * GWEI
        assert (await state_of(platform))["since_ms"] == state["since_ms"], "said once, not again and again"
        chain.wanted_tip = 0
        await settled(platform)

    run(tmp_path, story, tip_ceiling_gwei=4.0)


@pytest.mark.parametrize("arrives", [True, False], ids=["it arrived", "it did not"])
def test_a_raise_whose_answer_is_lost_is_not_raised_again_at_once(tmp_path: Path, arrives: bool) -> None:
    async def story(platform: Platform) -> None:
        chain, clock, honest = chain_of(platform), platform.ports.clock, chain_of(platform).send
        await _follows(platform)
        chain.wanted_tip = 10**12
        await becomes(platform, "final", "sent")
        lost: list[bytes] = []

        async def send(raw: bytes) -> Sent:
            known = chain._known[raw].tx_hash in chain.sent
            if not known and not lost:
                lost.append(raw)
                if arrives:
                    await honest(raw)
                raise ChainUnavailable("no answer")
            return await honest(raw)

        chain.send = send  # type: ignore[method-assign]
        while not lost:
            await clock.sleep(0.5)
        await clock.sleep(25)
        assert len(await signed_of(platform, 2)) == 2
        chain.wanted_tip = 0
        await settled(platform)
        assert (await batches_of(platform))[1]["tx_hash"] == chain._known[lost[0]].tx_hash

    run(tmp_path, story)


@pytest.mark.parametrize("words", ["", "nobody has heard of this"], ids=["by words that are known", "by others"])
def test_a_node_that_refuses_an_offer_below_its_base_fee_gets_a_better_one(tmp_path: Path, words: str) -> None:
    async def story(platform: Platform) -> None:
        chain, honest = chain_of(platform), chain_of(platform).send
        await _follows(platform)
        chain.swallow = True
        await becomes(platform, "final", "sent")
        chain.swallow, chain.strict, chain.base_fee = False, True, 4 * chain.base_fee

        async def send(raw: bytes) -> Sent:
            said = await honest(raw)
            if said is Sent.FEE_TOO_LOW and words:
                raise ChainRefused(words)
            return said

        chain.send = send  # type: ignore[method-assign]
        if words:
            assert words in (await waits_for(platform, "refused"))["reason"]
        await settled(platform)
        assert len(await signed_of(platform, 2)) == 2
        assert {job["status"] for job in await jobs_of(platform)} == {"confirmed"}

    run(tmp_path, story)


def test_a_node_that_wants_more_than_the_chain_does_gets_it_by_tenths(tmp_path: Path) -> None:
    """As by a smallest tip in its own settings, of which the chain's prices say nothing."""

    async def story(platform: Platform) -> None:
        chain, honest = chain_of(platform), chain_of(platform).send
        await submit(platform, 1)
        await settled(platform)

        async def send(raw: bytes) -> Sent:
            cheap = chain._known[raw].fees.max_tip < chain.tip * 6 // 5
            return Sent.FEE_TOO_LOW if cheap else await honest(raw)

        chain.send = send  # type: ignore[method-assign]
        await submit(platform, 2)
        await settled(platform)
        tips = [row["max_tip"] for row in reversed(await signed_of(platform, 2))]
        assert tips == [chain.tip, chain.tip * 11 // 10, chain.tip * 121 // 100]

    run(tmp_path, story)


def test_a_refusal_of_what_is_good_enough_is_told_and_not_outbid(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock, honest = chain_of(platform), platform.ports.clock, chain_of(platform).send
        await _follows(platform)
        chain.swallow = True
        await becomes(platform, "final", "sent")

        async def refuse(raw: bytes) -> Sent:
            raise ChainRefused("the pool is full")

        chain.swallow, chain.send = False, refuse  # type: ignore[method-assign]
        state = await waits_for(platform, "refused")
        await clock.sleep(600)
        assert len(await signed_of(platform, 2)) == 1
        found = await state_of(platform)
        assert (found["reason"], found["since_ms"]) == ("refused: the pool is full", state["since_ms"])
        assert metric(platform, 'relayer_waiting{reason="refused"}') == 1
        chain.send = honest  # type: ignore[method-assign]
        await settled(platform)

    run(tmp_path, story)


def test_what_was_reverted_is_signed_anew_once(tmp_path: Path) -> None:
    """The old receipt is there for ever; whoever takes it for that of the new transaction signs at every look."""

    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await _follows(platform)
        await becomes(platform, "final", "sent", every_s=0.1)
        chain.paused = True
        while chain._mined[-1][1].status:
            await clock.sleep(0.1)
            chain.mine()
        chain.paused = False
        while len(await signed_of(platform, 2)) < 2:
            await clock.sleep(0.1)
        chain.stall()
        await clock.sleep(600)
        assert [row["nonce"] for row in await signed_of(platform, 2)] == [2, 1]
        chain.resume()
        await settled(platform)
        first, second = await batches_of(platform)
        assert second["gas_price"] == first["gas_price"]

    run(tmp_path, story)


def test_who_cannot_pay_does_not_offer_more(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        await _follows(platform)
        chain.swallow = True
        await becomes(platform, "final", "sent")
        chain.swallow, chain.balance, rich = False, 5, chain.balance
        chain.base_fee *= 4
        await waits_for(platform, "out_of_funds")
        await clock.sleep(600)
        assert len(await signed_of(platform, 2)) == 1
        chain.balance = rich
        await settled(platform)

    run(tmp_path, story)
