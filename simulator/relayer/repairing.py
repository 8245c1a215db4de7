"""Repairing: batches that a reorganisation beyond finality took away are anchored again, once an operator asks for it.

What stands on the chain again is adopted where it stands; what is lost is sent again: as it was where the contract
still takes its numbers, under the following numbers where something else has them (`zjops.domain.anchoring`). The jobs
were told once and stay confirmed: no charge, event or webhook is made twice. What a batch was stays in the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from simulator.abuse import record
from simulator.chain.port import Receipt
from simulator.policy.strikes import STRIKES
from simulator.relayer.confirming import Confirmer
from simulator.relayer.desk import Desk
from simulator.relayer.leaves import hashes_of
from simulator.relayer.reporting import ACTOR, PAUSED, has_stopped
from simulator.relayer.view import View
from simulator.relayer.watching import Watcher
from simulator.store.port import Row, Tx
from zjops.domain.anchoring import DISAGREE, Act, Anchor, Place, Repair, firsts, plan_repairs
from zjops.domain.chains import Finality
from zjops.domain.errors import ChainUnavailable
from zjops.domain.events import OpsKind
from zjops.domain.merkle import Tree

REANCHOR = "relayer_reanchor"
UNSETTLED = "numbers_not_final"
"""Why numbers are not changed yet: what has taken the former ones could still vanish, and then they would be right."""


class Asked(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What an operator asked for, as it stands in the settings until it is done, or for good when it is refused.

    `batch` None means all. `resume` says that the relayer had stopped by itself and goes on after the repair, whatever
    it says of itself by then.
    """

    actor: str
    at_ms: int
    batch: int | None = None
    reason: str | None = None
    resume: bool = False
    refused: str | None = None


def read_asked(tx: Tx) -> Asked | None:
    """What was asked last; another version's words count as nothing."""
    row = tx.one("setting_get", name=REANCHOR)
    try:
        return None if row is None else msgspec.json.decode(row["value"], type=Asked)
    except msgspec.MsgspecError:
        return None


def put_asked(tx: Tx, asked: Asked) -> None:
    """Write down what is asked for."""
    tx.run("setting_put", name=REANCHOR, value=msgspec.json.encode(asked).decode())


class _Found(NamedTuple):
    """What the chain says as of one look: the plan, and where what is adopted was mined."""

    repairs: tuple[Repair, ...]
    receipts: tuple[Receipt, ...]
    following: int

    def agrees(self, other: _Found) -> bool:
        """Whether two looks come to the same; the counter may go on meanwhile."""
        return (self.repairs, self.receipts) == (other.repairs, other.receipts)


class _Moved(NamedTuple):
    """A batch under other numbers: its new root, and its jobs in the order of its leaves."""

    batch: int
    first: int
    root: bytes
    jobs: tuple[bytes, ...]


class Repairer:
    """Finds out what became of the batches that are gone, and puts the store right: all of it or nothing."""

    def __init__(
        self, desk: Desk, confirmer: Confirmer, watcher: Watcher, finality: Finality,
        offload: Callable[..., Awaitable[Any]],
    ) -> None:  # fmt: skip
        self._desk, self._confirmer, self._watcher, self._finality = desk, confirmer, watcher, finality
        self._offload = offload
        self._former: _Found | None = None
        self._looks = 0

    async def asked(self) -> Asked | None:
        """What an operator wants repaired; None when there is nothing to do."""
        found = await self._desk.store.read(read_asked)
        return None if found is None or found.refused else found

    async def repair(self, view: View, asked: Asked) -> bool:
        """Look once, and repair when enough looks agree; whether it is done. Raises `ChainUnavailable`."""
        found = await self._look(view)
        self._looks = self._looks + 1 if self._former is not None and found.agrees(self._former) else 1
        self._former = found
        if self._looks < STRIKES:
            return False
        self._former = None
        chosen = [one for one in found.repairs if asked.batch in (None, one.batch)]
        moves = [one for one in found.repairs if one.moves]
        if asked.batch is not None and (not chosen or moves):
            await self._refuse(asked, _why_not(asked.batch, moves))
            return True
        if moves:
            await self._check_settled(view, found.following)
        moved = [await self._renumbered(one) for one in moves]
        receipts = {one.batch: r for one, r in zip(_adopted(found.repairs), found.receipts, strict=True)}
        await self._desk.transact(lambda tx: self._write(tx, asked, chosen, receipts, moved))
        self._tell(chosen)
        return True

    async def _look(self, view: View) -> _Found:
        gone = await self._confirmer.all_gone(view)
        below = gone[-1]["block_number"] if gone else None
        rows, floor, former = await self._desk.store.read(lambda tx: _candidates(tx, gone, below))
        anchors = [_anchor(row, former[row["id"]]) for row in rows]
        chain, head = self._desk.chain, (await view.head()).number
        roots: dict[int, str | None] = {}
        for first in firsts(anchors):
            root = await chain.root_of(first, head)
            roots[first] = None if root is None else _hex(root)
        following = await chain.next_sequence(head)
        repairs = tuple(plan_repairs(anchors, roots, following, floor))
        return _Found(repairs, tuple([await self._receipt(view, one) for one in _adopted(repairs)]), following)

    async def _receipt(self, view: View, repair: Repair) -> Receipt:
        """Where a root that stands again was mined. Raises `ChainUnavailable` when the answers do not fit."""
        chain = self._desk.chain
        for transaction in await self._watcher.transactions(repair.batch):
            receipt = await chain.receipt(transaction["tx_hash"])
            if receipt is not None and receipt.status == 1:
                break
        else:
            receipt = await chain.find_root(repair.after)
        if receipt is None or (await view.known(receipt.block_number)).hash != receipt.block_hash:
            raise ChainUnavailable(f"the root of batch {repair.batch} is on the chain, its block is not", DISAGREE)
        return receipt

    async def _check_settled(self, view: View, following: int) -> None:
        """Numbers change only when what has taken the former ones is final, and nothing of ours is on its way."""
        head, finality = await view.head(), self._finality
        last = await view.block(finality.tag or max(0, head.number - finality.depth + 1))
        if last is None or await self._desk.chain.next_sequence(last.number) != following:
            text = f"the contract takes number {following} next, by a block that is not final yet"
            raise ChainUnavailable(text, UNSETTLED)
        outlook = await self._desk.chain.outlook()
        if outlook.pending != outlook.nonce:
            text = f"transactions of {self._desk.chain.sender} wait for a block and may take numbers yet"
            raise ChainUnavailable(text, UNSETTLED)

    async def _renumbered(self, repair: Repair) -> _Moved:
        rows = await self._desk.store.read(lambda tx: tx.all("batch_outcomes", batch_id=repair.batch))
        root = await self._offload(lambda: Tree(hashes_of(rows, repair.after)).root)
        return _Moved(repair.batch, repair.after, root, tuple(row["id"] for row in rows))

    def _write(
        self, tx: Tx, asked: Asked, chosen: Sequence[Repair], receipts: dict[int, Receipt], moved: Sequence[_Moved]
    ) -> None:  # fmt: skip
        now = self._desk.clock.now_ms()
        for one in chosen:
            tx.run("batch_repair_put", id=one.batch, now=now, actor=asked.actor, act=one.act.value)
        _move(tx, moved)
        for one in chosen:
            if one.act is Act.ADOPT:
                at = receipts[one.batch]
                tx.run(
                    "batch_adopted", id=one.batch, tx_hash=at.tx_hash, block_number=at.block_number,
                    block_hash=at.block_hash, gas_used=at.gas_used, gas_price=at.effective_gas_price,
                )  # fmt: skip
            elif not one.moves:
                tx.run("batch_lost", id=one.batch)
        tx.run("setting_drop", name=REANCHOR)
        if asked.resume or has_stopped(tx):
            tx.run("setting_put", name=PAUSED, value="0")
        record(
            tx, self._desk.ids, self._desk.clock, OpsKind.RELAYER, actor=ACTOR, action="relayer.reanchored",
            target="platform", reason=asked.reason, asked_by=asked.actor, **_summary(chosen),
        )  # fmt: skip

    def _tell(self, chosen: Sequence[Repair]) -> None:
        telemetry = self._desk.telemetry
        telemetry.log("warning", "anchored again", **_summary(chosen))
        for one in chosen:
            telemetry.count("relayer_repairs_total", act=one.act.value)

    async def _refuse(self, asked: Asked, why: str) -> None:
        """Say no, once: the question does not come back by itself."""
        self._desk.telemetry.log("warning", "nothing is anchored again", batch=asked.batch, reason=why)

        def refuse(tx: Tx) -> None:
            put_asked(tx, msgspec.structs.replace(asked, refused=why))
            record(
                tx, self._desk.ids, self._desk.clock, OpsKind.RELAYER, actor=ACTOR, action="relayer.reanchor-refused",
                target="platform", reason=why, asked_by=asked.actor, batch=asked.batch,
            )  # fmt: skip

        await self._desk.transact(refuse)


def _candidates(tx: Tx, gone: list[Row], below: int | None) -> tuple[list[Row], int, dict[int, list[Row]]]:
    """Every batch that has to be looked at, the number behind those that stand, and what each of them was before."""
    rows = [*gone, *tx.all("batches_unanchored")]
    held = tx.one("batches_held_end", block=below)
    assert held is not None
    return rows, held["following"], {row["id"]: tx.all("batch_repairs", batch_id=row["id"]) for row in rows}


def _anchor(row: Row, former: list[Row]) -> Anchor:
    places = [Place(one["first_sequence"], _hex(one["root"])) for one in (row, *reversed(former))]
    return Anchor(row["id"], row["count"], row["state"] == "final", tuple(dict.fromkeys(places)))


def _adopted(repairs: Sequence[Repair]) -> list[Repair]:
    return [one for one in repairs if one.act is Act.ADOPT]


def _move(tx: Tx, moved: Sequence[_Moved]) -> None:
    for one in moved:
        tx.run("batch_numbers_freed", id=one.batch)
    for one in moved:
        tx.run("batch_renumbered", id=one.batch, first=one.first, root=one.root)
        tx.many("job_renumbered", [(one.first + index, job) for index, job in enumerate(one.jobs)])


def _why_not(batch: int, moves: Sequence[Repair]) -> str:
    if moves:
        named = ", ".join(str(one.batch) for one in moves)
        return f"numbers were taken by something else, so batches {named} move together: ask for all"
    return f"batch {batch} is not gone: it stands in its block, or it is on its way"


def _summary(chosen: Sequence[Repair]) -> dict[str, Any]:
    return {
        "adopted": [one.batch for one in chosen if one.act is Act.ADOPT],
        "sent_again": [one.batch for one in chosen if one.act is Act.SEND],
        "moved": [[one.batch, one.before, one.after] for one in chosen if one.moves],
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
