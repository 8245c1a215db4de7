"""What was spent of late: every transaction that is in a block, reverted ones too, and none that is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from simulator.chain.memory import GAS_PER_ROOT, GAS_REVERTED
from simulator.chain.port import Outlook
from simulator.platform import Platform
from tests.support.relaying import becomes, chain_of, run, submit, waits_for
from tests.support.virtual import settled


async def _spent(platform: Platform, since: int = 0) -> float:
    row = await platform.ports.store.read(lambda tx: tx.one("chain_spent", since=since))
    assert row is not None
    return float(row["wei"])


def test_what_is_spent_is_what_the_account_lost(tmp_path: Path) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        before = chain.balance
        await submit(platform, 2)
        await settled(platform)
        await submit(platform, 2)
        await becomes(platform, "final", "sent", every_s=0.1)
        chain.paused = True
        await waits_for(platform, "contract_paused")
        assert await _spent(platform) == before - chain.balance
        chain.paused = False
        await settled(platform)
        assert [receipt.gas_used for _, receipt in chain._mined] == [GAS_PER_ROOT, GAS_REVERTED, GAS_PER_ROOT]
        assert await _spent(platform) == before - chain.balance
        assert await _spent(platform, platform.ports.clock.now_ms()) == 0

    run(tmp_path, story)


def test_what_was_given_up_and_reverted_behind_its_batch_counts_too(tmp_path: Path) -> None:
    """Signed behind a gap, signed anew before it: the nonces that are left over are used for nothing."""

    async def story(platform: Platform) -> None:
        chain, honest = chain_of(platform), chain_of(platform).outlook
        before = chain.balance
        await submit(platform, 1)
        await settled(platform)

        async def ahead() -> Outlook:
            found = await honest()
            return dataclasses.replace(found, nonce=found.nonce + 2, pending=found.nonce + 2)

        chain.outlook = ahead  # type: ignore[method-assign]
        sent = len(chain.sent)
        await submit(platform, 1)
        while len(chain.sent) == sent:
            await platform.ports.clock.sleep(0.5)
        chain.outlook = honest  # type: ignore[method-assign]
        await submit(platform, 4)
        await settled(platform)
        assert [receipt.status for _, receipt in chain._mined].count(0) == 2
        assert await _spent(platform) == before - chain.balance

    run(tmp_path, story, batch_max_jobs=1)


@pytest.mark.parametrize("keep", [True, False])
def test_a_reorganisation_gives_back_what_its_blocks_cost(tmp_path: Path, keep: bool) -> None:
    async def story(platform: Platform) -> None:
        chain = chain_of(platform)
        before = chain.balance
        await submit(platform, 2)
        await becomes(platform, "mined", every_s=0.1)
        assert await _spent(platform) == before - chain.balance > 0
        chain.swallow = not keep
        chain.reorg(2, keep_transactions=keep)
        if not keep:
            await becomes(platform, "sent", every_s=0.1)
            assert await _spent(platform) == 0
        chain.swallow = False
        await settled(platform)
        assert await _spent(platform) == before - chain.balance == GAS_PER_ROOT * chain._mined[0][1].effective_gas_price

    run(tmp_path, story)
