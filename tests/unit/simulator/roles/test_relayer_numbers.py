"""Numbers that something else took, as `confirmJob` by hand does: named, waited for, and mended by an operator alone.

A store that was restored from a copy looks the same from the relayer's side: it may hold jobs that are anchored under
these very numbers. So nothing is renumbered unless somebody says so.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from simulator.chain.memory import MemoryChain
from simulator.chain.port import Commit, Outlook, Receipt, Sent, Signed
from simulator.policy.fees import Fees
from tests.support.relaying import (
    becomes,
    chain_of,
    heir_of,
    metric,
    relayer_of,
    run,
    signed_of,
    state_of,
    submit,
    waits_for,
)
from tests.support.tables import tables
from tests.support.virtual import settled
from tests.unit.simulator.roles.test_reanchoring import Play, _play
from zjops.domain.errors import ChainRefused


async def _taken(play: Play, count: int) -> dict[str, Any]:
    """Have something else take numbers before the first batch is sent; what the relayer says of it."""
    await play.foreign(1, count)
    await play.clock.sleep(30)
    await play.submit(3)
    await play.state_is("sequence_taken")
    return await play.state()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_nothing_is_sent_until_an_operator_gives_other_numbers(tmp_path: Path, count: int) -> None:
    async def story(play: Play) -> None:
        state = await _taken(play, count)
        assert state["state"] == "waiting"
        assert (
            f"batch 1 begins at number 1, and something else has taken the contract's numbers up to {count};"
            in (state["reason"])
        )
        assert "zjops chain reanchor" in state["reason"]
        assert metric(play.platform, 'relayer_waiting{reason="sequence_taken"}') == 1
        await play.clock.sleep(3600)
        assert len(play.chain.sent) == 1, "only what something else has sent"
        found = await play.audit(expect_settled=False)
        texts = [finding.text for finding in found.findings if finding.kind == "wrong_chain"]
        assert texts == ["batch 1: something else has taken number 1: zjops chain reanchor"]
        await play.repaired(resume=False)
        await play.all_final()
        assert [batch["first_sequence"] for batch in await play.batches()] == [count + 1]
        report = await play.audit()
        assert report.findings == []
        assert f"under the numbers from {count + 1} on in place of 1" in report.repaired[0].text
        await play.proved()
        assert (await play.state())["reason"] is None

    _play(tmp_path, story)


def test_what_took_them_may_vanish_and_then_all_goes_on_by_itself(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await _taken(play, 2)
        head = await play.chain.block("latest")
        assert head is not None
        play.chain.reorg(head.number)
        await play.all_final()
        assert [batch["first_sequence"] for batch in await play.batches()] == [1]
        assert (await play.audit()).findings == []

    _play(tmp_path, story)


def test_a_batch_that_is_mined_and_not_noticed_yet_is_no_fault(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.submit(2)
        await becomes(play.platform, "sent")
        await relayer_of(play.platform).stop()
        await play.clock.sleep(60)
        assert [batch["state"] for batch in await play.batches()] == ["sent"]
        assert await play.chain.next_sequence() == 3
        assert {f.kind for f in (await play.audit(expect_settled=False)).findings} <= {"event_missing"}

    _play(tmp_path, story)


def test_a_node_that_does_not_know_yet_what_stands_before_is_behind(tmp_path: Path) -> None:
    async def story(platform: Any) -> None:
        chain = chain_of(platform)
        await submit(platform, 1)
        await settled(platform)

        async def refuse(commit: Commit) -> int:
            raise ChainRefused(f"UnexpectedSequence(1, {commit.first})")

        async def behind(at: int | str = "latest") -> int:
            return 1

        chain.estimate, chain.next_sequence = refuse, behind  # type: ignore[method-assign]
        await submit(platform, 1)
        state = await waits_for(platform, "node_behind")
        assert state["reason"].endswith("takes number 1 next, batch 2 begins at 2")
        del chain.estimate, chain.next_sequence
        await settled(platform)
        assert (await state_of(platform))["reason"] is None

    run(tmp_path, story)


@pytest.mark.parametrize("known", [True, False], ids=["by its own hashes", "by the log"])
def test_a_root_that_is_on_chain_already_is_found(tmp_path: Path, known: bool) -> None:
    async def story(platform: Any) -> None:
        chain, store = chain_of(platform), platform.ports.store
        await submit(platform, 2)
        await becomes(platform, "mined")
        await relayer_of(platform).stop()

        tables(store).execute("UPDATE batches SET state = 'closed', tx_hash = NULL, block_number = NULL")
        if not known:
            tables(store).execute("DELETE FROM batch_transactions")
        asked: list[int] = []
        honest = chain.find_root

        async def find(first: int) -> Receipt | None:
            asked.append(first)
            return None if len(asked) < 4 else await honest(first)

        chain.find_root = find  # type: ignore[method-assign]
        heir = heir_of(platform)
        await heir.start()
        if not known:
            assert "the node's log has it not" in (await waits_for(platform, "nodes_disagree"))["reason"]
        await settled(platform)
        await heir.stop()
        assert (asked == []) is known
        assert len(chain.sent) == 1

    run(tmp_path, story)


class Rotated(MemoryChain):
    """The same chain by another key of the operator: with nonces of its own, and the old key's transactions beside."""

    lost = False
    signed = (-1, Fees(0, 0))
    old: frozenset[bytes] = frozenset()

    @property
    def sender(self) -> str:
        return "0x" + "0f" * 20

    async def outlook(self) -> Outlook:
        return dataclasses.replace(await super().outlook(), nonce=0, pending=0)

    def sign(self, commit: Commit, nonce: int, gas: int, fees: Fees) -> Signed:
        self.signed = (nonce, fees)
        return super().sign(commit, self._nonce, gas + 1, fees)  # another signature, so another hash

    async def send(self, raw: bytes) -> Sent:
        return Sent.NO_FUNDS if self.lost and raw in self.old else await super().send(raw)


@pytest.mark.parametrize("lost", [False, True], ids=["and is mined", "and cannot be sent any more"])
def test_what_a_former_key_has_signed_is_not_replaced_under_its_nonce_by_the_new_one(
    tmp_path: Path, lost: bool
) -> None:
    async def story(platform: Any) -> None:
        chain, clock = chain_of(platform), platform.ports.clock
        for _ in range(3):
            await submit(platform, 1)
            await settled(platform)
        chain.swallow = True
        await submit(platform, 2)
        await becomes(platform, "final", "final", "final", "sent", every_s=0.1)
        chain.__class__ = Rotated
        assert isinstance(chain, Rotated)
        chain.lost, chain.old = lost, frozenset(chain._known)
        await clock.sleep(15)
        (old,) = await signed_of(platform, 4)
        assert (old["sender"], old["nonce"]) == ("0x" + "0e" * 20, 3), "its nonce is no gap of the new key's"
        chain.swallow = False
        await settled(platform)
        signed = await signed_of(platform, 4)
        assert [row["sender"] for row in reversed(signed)] == [old["sender"], *([chain.sender] if lost else [])]
        if lost:
            assert chain.signed[0] == 0, "by the new key's own nonces"
            assert chain.signed[1].max_fee == old["max_fee"], "and at a first price of its own"

    run(tmp_path, story)
