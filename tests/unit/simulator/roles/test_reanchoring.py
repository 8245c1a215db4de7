"""After a reorganisation beyond finality: what an operator asks for is done, told once, and can be proved again."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from simulator.api.proofs import proof_view, read_proof
from simulator.chain.memory import MemoryChain
from simulator.chain.port import Commit, Sent
from simulator.environment import time_skipping
from simulator.export import export_to
from simulator.platform import Platform
from simulator.policy.fees import Fees
from simulator.relayer import PAUSED, Asked, put_asked, read_asked
from simulator.relayer.reporting import STATE
from simulator.store.port import Row
from tests.support.tables import look
from tests.support.virtual import START_MS, settled
from zjops.audit.findings import Report
from zjops.audit.run import audit_once
from zjops.client.chain import Block
from zjops.client.chain import Commit as Committed
from zjops.config import Context
from zjops.domain.clock import run_virtual
from zjops.domain.errors import ChainUnavailable, Problem
from zjops.domain.ids import job_id
from zjops.domain.merkle import Tree, keccak256
from zjops.verify import verify_digest

SIEVE = b'{"jobType":"compute_heavy","parameters":{"algorithm":"prime_sieve","limit":100}}'
FEES = Fees(10**10, 10**9)


def _now(question: Coroutine[Any, Any, Any]) -> Any:
    """The answer of a chain in memory, which never waits."""
    try:
        question.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the chain in memory waited")


class Node:
    """The chain in memory as auditors and verifiers ask a node."""

    def __init__(self, chain: MemoryChain) -> None:
        self._chain = chain

    def chain_id(self) -> int:
        return int(_now(self._chain.identity()).chain_id)

    def code(self) -> bytes:
        return b""

    def code_hash(self) -> str:
        return str(_now(self._chain.identity()).code_hash)

    def head(self) -> int:
        return int(_now(self._chain.block("latest")).number)

    def root_of(self, first: int) -> Any:
        return _now(self._chain.root_of(first))

    def next_sequence(self) -> int:
        return int(_now(self._chain.next_sequence()))

    def block(self, number: int) -> Block | None:
        found = _now(self._chain.block(number))
        mined = (receipt for _, receipt in self._chain._mined if receipt.block_number == number)
        return None if found is None else Block(found.hash, frozenset(receipt.tx_hash for receipt in mined))

    def tagged(self, tag: str) -> int:
        found = _now(self._chain.block(tag))
        assert found is not None
        return int(found.number)

    def commit_of(self, first: int, told: int | None = None) -> Committed | None:
        found = _now(self._chain.find_root(first))
        if found is None:
            return None
        (sent,) = (sent.commit for sent, receipt in self._chain._mined if receipt.tx_hash == found.tx_hash)
        return Committed(found.block_number, found.tx_hash, sent.count, sent.root)

    def gas_of(self, tx_hash: str) -> int | None:
        found = _now(self._chain.receipt(tx_hash))
        return None if found is None else int(found.gas_used)


class Play:
    """A platform in virtual time, its chain, and what can be seen of both."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform, self.folder, self.store, self.clock = (
            platform,
            folder,
            platform.ports.store,
            platform.ports.clock,
        )
        assert isinstance(platform.ports.chain, MemoryChain)
        self.chain = platform.ports.chain

    async def submit(self, count: int) -> None:
        """Jobs that run and await their confirmation."""
        tenant = await self.platform.add_tenant("acme", "enterprise")
        for _ in range(count):
            key = uuid.UUID(bytes=self.platform.ports.ids.token(16), version=4)
            await self.platform.intake.submit(tenant, SIEVE, key, None)

    async def final(self, *sizes: int) -> None:
        """Batches of these sizes, one after the other, each final in a block of its own."""
        for size in sizes:
            await self.submit(size)
            await settled(self.platform)

    async def sql(self, query: str) -> list[Row]:
        return look(self.store, query)

    async def batches(self) -> list[Row]:
        return await self.sql("SELECT * FROM batches ORDER BY id")

    async def told(self) -> tuple[list[Row], ...]:
        """Everything that is told or charged once: confirmations, events, webhooks, charges."""
        return (
            await self.sql("SELECT id, status, charge, confirmed_at, gas_share FROM jobs ORDER BY id"),
            await self.sql("SELECT n, subject, msg_id FROM outbox WHERE stream = 'EVENTS' ORDER BY n"),
            await self.sql("SELECT * FROM deliveries ORDER BY id"),
            await self.sql("SELECT * FROM usage ORDER BY tenant"),
        )

    async def reorganise(self, from_batch: int, *, keep: bool, stops: bool = True) -> None:
        """Undo the chain from the block of a final batch on; the relayer stops."""
        block = (await self.batches())[from_batch - 1]["block_number"]
        head = await self.chain.block("latest")
        assert head is not None
        self.chain.reorg(head.number - block + 1, keep_transactions=keep)
        if stops:
            await self.state_is("reorg_beyond_finality")

    async def foreign(self, first: int, count: int) -> None:
        """Something else with the operator's key takes numbers."""
        outlook = await self.chain.outlook()
        raw = self.chain.sign(Commit(first, count, keccak256(b"foreign")), outlook.nonce, 60_000, FEES).raw
        assert await self.chain.send(raw) is Sent.TAKEN

    async def state(self) -> dict[str, Any]:
        row = await self.store.read(lambda tx: tx.one("setting_get", name=STATE))
        found: dict[str, Any] = json.loads(row["value"]) if row else {"state": None, "reason": None}
        return found

    async def state_is(self, reason: str) -> None:
        await self.until(lambda: self._has_reason(reason))

    async def _has_reason(self, reason: str) -> bool:
        return ((await self.state())["reason"] or "").startswith(reason)

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(900):
            while not await holds():
                await self.clock.sleep(0.5)

    async def ask(self, batch: int | None = None, *, resume: bool = True) -> None:
        """What the operators' door writes down."""
        asked = Asked(actor="c-op", at_ms=self.clock.now_ms(), batch=batch, reason="test", resume=resume)
        await self.store.transact(lambda tx: put_asked(tx, asked))

    async def repaired(self, batch: int | None = None, *, resume: bool = True) -> None:
        """Ask, and wait until the relayer has answered by deed or word."""
        await self.ask(batch, resume=resume)
        await self.until(self._answered)

    async def _answered(self) -> bool:
        asked = await self.store.read(read_asked)
        return asked is None or asked.refused is not None

    async def all_final(self) -> None:
        await self.until(self._all_final)
        await self.clock.sleep(2 * self.platform.settings.meter_flush_s)

    async def _all_final(self) -> bool:
        return {batch["state"] for batch in await self.batches()} == {"final"}

    async def ops(self, action: str) -> list[dict[str, Any]]:
        """OPS events of an action."""
        rows = await self.sql("SELECT payload FROM outbox WHERE stream = 'OPS' AND subject = 'ops.relayer' ORDER BY n")
        told = [json.loads(row["payload"])["data"] for row in rows]
        return [event for event in told if event["action"] == action]

    async def audit(self, *, expect_settled: bool = True) -> Report:
        export = self.folder / "export.jsonl"
        with export.open("wb") as file:
            await export_to(self.store, self.clock, file)
        return audit_once([], lambda: export, self.folder, Node(self.chain), expect_settled=expect_settled)

    async def proved(self) -> None:
        """Every confirmed job leads from its result to the chain, with no word of the platform's taken."""
        node, identity = Node(self.chain), await self.chain.identity()
        context = Context(
            name="test", api_url="", token_url="", issuer="", contract=identity.contract, chain_id=identity.chain_id,
            code_hash=identity.code_hash, finality=self.platform.settings.final_by.text,
        )  # fmt: skip
        for row in await self.sql("SELECT id, tenant, result_keccak FROM jobs WHERE confirmed_at IS NOT NULL"):
            name, tenant = job_id(row["id"]), row["tenant"]
            found = await self.store.read(lambda tx, t=tenant, n=name: read_proof(tx, t, n))  # type: ignore[misc]
            checks = verify_digest(proof_view(found, name, identity), row["result_keccak"], context, node)
            assert [check for check in checks if not check.ok] == []


def _play(folder: Path, story: Callable[[Play], Awaitable[None]], **settings: Any) -> None:
    async def whole() -> None:
        chosen = {"outbox_keep_s": 10**6, "meter_flush_s": 10.0} | settings
        platform = time_skipping(1, START_MS, folder, **chosen)
        await platform.start()
        try:
            await story(Play(platform, folder))
        finally:
            await platform.stop()

    run_virtual(whole())


@pytest.mark.parametrize("keep", [True, False], ids=["mined again elsewhere", "lost"])
def test_what_was_final_is_anchored_again_and_told_once(tmp_path: Path, keep: bool) -> None:
    async def story(play: Play) -> None:
        await play.final(4, 3)
        before, told, sent = await play.batches(), await play.told(), list(play.chain.sent)
        assert (await play.audit()).findings == []
        await play.reorganise(1, keep=keep)
        found = await play.audit()
        assert {f.text.split(":")[0] for f in found.findings if f.kind == "reorged"} == {"batch 1", "batch 2"}
        assert {f.kind for f in found.findings} == {"reorged"} | (set() if keep else {"wrong_root"})
        await play.repaired()
        await play.all_final()
        after = await play.batches()
        for old, new in zip(before, after, strict=True):
            assert {n: new[n] for n in ("first_sequence", "root", "count", "tx_hash")} == {
                n: old[n] for n in ("first_sequence", "root", "count", "tx_hash")
            }
            assert new["block_hash"] != old["block_hash"]
        assert await play.told() == told
        assert len(play.chain.sent) == len(sent) + (0 if keep else 2)
        assert set(play.chain.sent) == set(sent), "what was signed before goes out again, byte for byte"
        report = await play.audit()
        assert report.findings == []
        assert [note.text.split(" ")[1] for note in report.repaired] == ["1", "2"]
        await play.proved()
        (act,) = await play.ops("relayer.reanchored")
        done = {"adopted": [1, 2], "sent_again": []} if keep else {"adopted": [], "sent_again": [1, 2]}
        assert act["values"] == done | {"moved": [], "asked_by": "c-op"}
        assert (await play.state())["state"] == "active"
        jobs = await play.sql("SELECT DISTINCT batch_id, tx_hash, block_number FROM jobs ORDER BY batch_id")
        assert [(j["tx_hash"], j["block_number"]) for j in jobs] == [(b["tx_hash"], b["block_number"]) for b in after]

    _play(tmp_path, story)


def test_the_relayer_works_on_afterwards(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        await play.reorganise(1, keep=False)
        await play.submit(5)
        await play.clock.sleep(300)
        assert len(await play.batches()) == 1
        # Also when the operator was quicker to ask than the relayer to say that it had stopped.
        await play.repaired(resume=False)
        await settled(play.platform)
        assert [(b["first_sequence"], b["state"]) for b in await play.batches()] == [(1, "final"), (3, "final")]
        assert (await play.audit()).findings == []

    _play(tmp_path, story)


def test_batches_that_were_on_their_way_follow_those_that_are_sent_again(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        await play.submit(3)
        await play.until(lambda: _has_states(play, ["final", "mined"]))
        await play.reorganise(1, keep=False)
        await play.repaired()
        await play.all_final()
        assert await play.chain.next_sequence() == 6
        report = await play.audit()
        assert report.findings == []
        assert len(report.repaired) == 1
        events = await play.sql("SELECT n FROM outbox WHERE subject = 'jobs.confirmed'")
        assert len(events) == 5

    _play(tmp_path, story)


async def _has_states(play: Play, states: list[str]) -> bool:
    return [batch["state"] for batch in await play.batches()] == states


def test_the_first_stands_again_and_the_second_is_lost(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2, 3)
        told = await play.told()
        await play.reorganise(1, keep=True, stops=False)
        del play.chain._pool[1]
        await play.state_is("reorg_beyond_finality")
        await play.repaired()
        await play.all_final()
        (act,) = await play.ops("relayer.reanchored")
        assert (act["values"]["adopted"], act["values"]["sent_again"]) == ([1], [2])
        assert await play.told() == told
        assert (await play.audit()).findings == []
        await play.proved()

    _play(tmp_path, story)


@pytest.mark.parametrize("taken", [1, 3, 20])
def test_numbers_that_something_else_took_move_with_leaves_root_and_proofs(tmp_path: Path, taken: int) -> None:
    async def story(play: Play) -> None:
        await play.final(2, 3, 2)
        before, told = await play.batches(), await play.told()
        await play.reorganise(2, keep=False)
        await play.foreign(3, taken)
        await play.clock.sleep(60)
        await play.repaired()
        await play.all_final()
        after = await play.batches()
        assert [b["first_sequence"] for b in after] == [1, 3 + taken, 6 + taken]
        assert after[0]["block_hash"] == before[0]["block_hash"]
        assert after[1]["root"] != before[1]["root"]
        assert await play.chain.next_sequence() == 8 + taken
        assert await play.told() == told
        for batch in after:
            said = json.loads((tmp_path / "batches" / "0" / f"{batch['id']}.json").read_bytes())
            assert (said["firstSequence"], said["root"]) == (batch["first_sequence"], "0x" + batch["root"].hex())
            assert Tree([bytes.fromhex(leaf[2:]) for leaf in said["leaves"]]).root == batch["root"]
        report = await play.audit()
        assert report.findings == []
        assert f"under the numbers from {3 + taken} on in place of 3" in report.repaired[0].text
        await play.proved()
        (act,) = await play.ops("relayer.reanchored")
        assert act["values"]["moved"] == [[2, 3, 3 + taken], [3, 6, 6 + taken]]

    _play(tmp_path, story)


def test_numbers_do_not_move_before_what_took_them_is_final(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        before = await play.batches()
        await play.reorganise(1, keep=False)
        await play.foreign(1, 4)
        await play.until(lambda: _next_is(play, 5))
        head = await play.chain.block("latest")
        assert head is not None
        await play.ask()
        await play.state_is("numbers_not_final")
        play.chain.reorg(head.number - before[0]["block_number"] + 1)
        await play.until(play._answered)
        await play.all_final()
        assert [b["first_sequence"] for b in await play.batches()] == [1]
        assert (await play.batches())[0]["root"] == before[0]["root"]

    _play(tmp_path, story, finality="depth:12")


async def _next_is(play: Play, number: int) -> bool:
    return await play.chain.next_sequence() == number


def test_numbers_wait_for_what_is_ours_in_the_pool(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        await play.reorganise(1, keep=False)
        await play.foreign(1, 2)
        await play.clock.sleep(60)
        outlook = await play.chain.outlook()
        play.chain.base_fee = 10**12
        raw = play.chain.sign(Commit(3, 1, keccak256(b"waits")), outlook.nonce, 60_000, FEES).raw
        assert await play.chain.send(raw) is Sent.TAKEN
        await play.ask()
        await play.state_is("numbers_not_final")
        assert "wait for a block" in (await play.state())["reason"]
        play.chain.base_fee = 10**9
        await play.until(play._answered)
        await play.all_final()
        assert [b["first_sequence"] for b in await play.batches()] == [4]

    _play(tmp_path, story)


def test_a_batch_that_moved_and_stands_in_its_former_place_is_adopted_there(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        (first,) = await play.batches()
        raw = (await play.sql("SELECT raw FROM batch_transactions"))[0]["raw"]
        await play.reorganise(1, keep=False)
        await play.foreign(1, 2)
        await play.clock.sleep(60)
        await play.repaired()
        await play.all_final()
        (moved,) = await play.batches()
        assert moved["first_sequence"] == 3
        # Deeper than ever: what had taken the numbers is gone too, and somebody kept the very first transaction.
        head = await play.chain.block("latest")
        assert head is not None
        play.chain.reorg(head.number - first["block_number"] + 1)
        assert await play.chain.send(raw) is Sent.TAKEN
        await play.state_is("reorg_beyond_finality")
        await play.repaired()
        await play.all_final()
        (back,) = await play.batches()
        assert (back["first_sequence"], back["root"], back["tx_hash"]) == (1, first["root"], first["tx_hash"])
        assert await play.chain.next_sequence() == 3
        assert (await play.audit()).findings == []
        await play.proved()

    _play(tmp_path, story)


def test_one_batch_alone_leaves_the_relayer_stopped_for_the_others(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2, 3)
        told = await play.told()
        await play.reorganise(1, keep=False)
        await play.repaired(2)
        await play.clock.sleep(120)
        assert [b["state"] for b in await play.batches()] == ["final", "sent"]
        assert "batch 1 was final" in (await play.state())["reason"]
        assert play.chain._pool == {}
        await play.repaired(1)
        await play.all_final()
        assert await play.told() == told
        assert (await play.audit()).findings == []

    _play(tmp_path, story)


def test_what_cannot_be_done_alone_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2, 3)
        await play.reorganise(2, keep=False)
        await play.foreign(3, 1)
        await play.clock.sleep(60)
        before = await play.batches()
        for batch, why in ((2, "ask for all"), (1, "is not gone")):
            if batch == 1:
                await play.repaired()
                await play.all_final()
                before = await play.batches()
            await play.repaired(batch)
            asked = await play.store.read(read_asked)
            assert asked is not None
            assert why in (asked.refused or "")
            assert await play.batches() == before
        assert len(await play.ops("relayer.reanchor-refused")) == 2

    _play(tmp_path, story)


def test_nothing_to_repair_only_lets_the_relayer_go_on(tmp_path: Path) -> None:
    """The chain has gone back to what it was, or never was otherwise."""

    async def story(play: Play) -> None:
        await play.final(2)
        before = await play.batches()
        await play.store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="1"))
        await play.repaired()
        assert await play.batches() == before
        await play.submit(1)
        await settled(play.platform)
        assert len(await play.batches()) == 2

    _play(tmp_path, story)


def test_a_pause_by_an_operator_outlasts_the_repair(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        sent = list(play.chain.sent)
        await play.store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="1"))
        await play.state_is("operator")
        await play.reorganise(1, keep=False, stops=False)
        await play.repaired(resume=False)
        await play.clock.sleep(2 * play.platform.settings.meter_flush_s)
        assert [b["state"] for b in await play.batches()] == ["sent"]
        assert play.chain.sent == sent
        report = await play.audit(expect_settled=False)
        assert report.findings == []
        assert report.repaired[0].text.endswith("not final yet")
        name = job_id((await play.sql("SELECT id FROM jobs"))[0]["id"])
        with pytest.raises(Problem, match="anchored again"):
            await play.store.read(lambda tx: read_proof(tx, "acme", name))
        await play.store.transact(lambda tx: tx.run("setting_put", name=PAUSED, value="0"))
        await play.all_final()

    _play(tmp_path, story)


def test_a_chain_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        await play.reorganise(1, keep=False)
        play.chain.fault = ChainUnavailable("away")
        await play.ask()
        await play.state_is("rpc_unavailable")
        assert [b["state"] for b in await play.batches()] == ["final"]
        play.chain.fault = None
        await play.until(play._answered)
        await play.all_final()
        assert (await play.state())["reason"] is None

    _play(tmp_path, story)


def test_it_can_happen_twice(tmp_path: Path) -> None:
    async def story(play: Play) -> None:
        await play.final(2)
        told = await play.told()
        for keep in (True, False):
            await play.reorganise(1, keep=keep)
            await play.repaired()
            await play.all_final()
        assert await play.told() == told
        report = await play.audit()
        assert report.findings == []
        assert [("adopted" in n.text, "sent again" in n.text) for n in report.repaired] == [
            (True, False),
            (False, True),
        ]
        await play.proved()

    _play(tmp_path, story)


def test_many_batches_go_and_come_back(tmp_path: Path) -> None:
    """More than one page of final batches, and more than are on their way at once."""

    async def story(play: Play) -> None:
        await play.final(2, 420)
        batches = len(await play.batches())
        assert batches > 200
        await play.reorganise(2, keep=False)
        assert f"2 to {batches} ({batches - 1} of them)" in (await play.state())["reason"]
        told = await play.told()
        await play.repaired()
        await play.all_final()
        assert await play.told() == told
        report = await play.audit()
        assert report.findings == []
        assert len(report.repaired) == batches - 1

    _play(tmp_path, story, batch_max_jobs=2)
