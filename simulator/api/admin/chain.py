"""Batches and the relayer, as operators see them: what the store knows, without a question to the chain."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.admin.base import BODY, AdminPart, operation
from simulator.api.contract.inputs import read_body, read_query
from simulator.api.contract.operation import Operation
from simulator.api.deps import answer
from simulator.relayer import PAUSED, Asked, has_stopped, leaf_of, put_asked, read_asked
from simulator.store.port import Row, Tx
from zjops.domain.anchoring import Act
from zjops.domain.clock import rfc3339
from zjops.domain.errors import Problem
from zjops.domain.events import OpsKind
from zjops.domain.ids import job_id
from zjops.domain.wire_chain import (
    BatchDetail,
    BatchPage,
    BatchQuery,
    BatchView,
    LeafView,
    Reanchor,
    ReanchorView,
    RelayerView,
    RepairView,
)

RELAYER_STATE = "relayer_state"
LEASE = "relayer"
SPENT_WITHIN_MS = 86_400_000
ID_MOST = 2**53


class _Told(msgspec.Struct, frozen=True):
    """What the relayer last said of itself."""

    state: str = "unknown"
    reason: str | None = None
    since_ms: int | None = None
    address: str | None = None
    balance_wei: str | None = None
    nonce: int | None = None
    fee_wei: str | None = None


class ChainRoutes(AdminPart):
    """Handlers of batches and the relayer."""

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        return [
            operation("listBatches", "GET", "/batches", self.batches, BatchPage, "invalid-parameter",
                      query=BatchQuery),
            operation("getBatch", "GET", "/batches/{batchId}", self.batch, BatchDetail, "not-found"),
            operation("getRelayer", "GET", "/relayer", self.relayer, RelayerView),
            operation("reanchorBatches", "POST", "/relayer/reanchor", self.reanchor, ReanchorView, *BODY, "not-found",
                      "conflict", status=202, body=Reanchor),
        ]  # fmt: skip

    async def batches(self, request: Request) -> Response:
        """Batches, newest first, in keyset pages."""
        query = read_query(request, BatchQuery)
        rows, repairs = await self._store.read(lambda tx: _page(tx, query))
        await self._looked(request, "batch.list")
        following = rows[-1]["id"] if len(rows) == query.limit else None
        return answer(BatchPage(batches=[BatchView(**_fields(row, repairs)) for row in rows], next=following))

    async def batch(self, request: Request) -> Response:
        """One batch with its leaves."""
        name = request.path_params["batchId"]
        row, jobs, repairs = await self._store.read(lambda tx: _find(tx, name))
        await self._looked(request, "batch.read", name)
        leaves = [
            LeafView(sequence=job["chain_sequence"], job_id=job_id(job["id"]),
                     hash="0x" + leaf_of(job, job["chain_sequence"]).hash().hex())
            for job in jobs
        ]  # fmt: skip
        return answer(BatchDetail(**_fields(row, repairs), leaves=leaves))

    async def relayer(self, request: Request) -> Response:
        """Who sends batches, how that goes, and what waits."""
        now = self._deps.clock.now_ms()
        view = await self._store.read(lambda tx: self._relayer(tx, now))
        await self._looked(request, "relayer.read")
        return answer(view)

    async def reanchor(self, request: Request) -> Response:
        """Have the relayer anchor again what a reorganisation beyond finality took away.

        It adopts what stands on the chain again and sends what is lost. The jobs stay as they are: no charge, event or
        webhook is made twice. A relayer that had stopped because of it goes on afterwards.
        """
        asked = await read_body(request, Reanchor)

        def put(tx: Tx) -> Asked:
            if asked.batch is not None:
                _check_final(tx, asked.batch)
            former = read_asked(tx)
            _check_free(former, asked.batch)
            found = Asked(
                actor=self._actor(request), at_ms=self._deps.clock.now_ms(), batch=asked.batch, reason=asked.reason,
                resume=has_stopped(tx) or (former is not None and former.resume),
            )  # fmt: skip
            put_asked(tx, found)
            self._record(tx, request, OpsKind.RELAYER, "relayer.reanchor", "platform", asked.reason, batch=asked.batch)
            return found

        found = await self._store.transact(put)
        self._deps.wake()
        return answer(_asked(found), 202)

    def _relayer(self, tx: Tx, now: int) -> RelayerView:
        lease, paused = tx.one("lease_get", name=LEASE), tx.one("setting_get", name=PAUSED)
        waiting, spent = tx.one("chain_waiting"), tx.one("chain_spent", since=now - SPENT_WITHIN_MS)
        assert waiting is not None
        assert spent is not None
        told, settings = _told(tx.one("setting_get", name=RELAYER_STATE)), self._deps.settings
        held = lease is not None and lease["expires_at"] > now
        return RelayerView(
            owner=lease["owner"] if lease is not None and held else None, epoch=lease["epoch"] if lease else 0,
            paused=paused is not None and paused["value"] == "1", state=told.state, reason=told.reason,
            since=_time(told.since_ms), address=told.address, balance_wei=told.balance_wei, nonce=told.nonce,
            fee_wei=told.fee_wei, waiting_jobs=waiting["waiting_jobs"], open_batches=waiting["open_batches"],
            open_jobs=waiting["open_jobs"],
            oldest_waiting_ms=None if waiting["oldest"] is None else max(0, now - waiting["oldest"]),
            finality=settings.final_by.text, block_time_seconds=settings.block_time_s,
            spent_wei=str(round(spent["wei"])),
            spent_seconds=0.0 if spent["since"] is None else max(0, now - spent["since"]) / 1000,
            reanchor=None if (asked := read_asked(tx)) is None else _asked(asked),
        )  # fmt: skip


def _page(tx: Tx, query: BatchQuery) -> tuple[list[Row], list[Row]]:
    name = "batches_page" if query.state in (None, "final") else "batches_page_open"
    rows = tx.all(name, before=query.before, state=query.state, most=query.limit)
    return rows, tx.all("repairs_between", lowest=rows[-1]["id"], highest=rows[0]["id"]) if rows else []


def _find(tx: Tx, name: str) -> tuple[Row, list[Row], list[Row]]:
    number = int(name) if name.isascii() and name.isdigit() and len(name) <= 16 else 0
    row = tx.one("batch_get", id=min(number, ID_MOST))
    if row is None:
        raise Problem("not-found", "There is no such batch.")
    return row, tx.all("batch_leaves", batch_id=row["id"]), tx.all("batch_repairs", batch_id=row["id"])


def _check_final(tx: Tx, batch: int) -> None:
    """Only what was final can be lost in a way that the relayer does not mend by itself. Raises `Problem`."""
    row = tx.one("batch_get", id=batch)
    if row is None:
        raise Problem("not-found", "There is no such batch.")
    if row["state"] != "final":
        raise Problem("conflict", f"The batch is {row['state']}; the relayer looks after it by itself.")


def _check_free(former: Asked | None, batch: int | None) -> None:
    """One batch after the other; who asks for all asks for each of them. Raises `Problem`."""
    if former is not None and not former.refused and batch not in (None, former.batch):
        what = "All batches are" if former.batch is None else f"Batch {former.batch} is"
        raise Problem("conflict", f"{what} being anchored again; ask again once that is done.")


def _asked(asked: Asked) -> ReanchorView:
    return ReanchorView(batch=asked.batch, actor=asked.actor, at=rfc3339(asked.at_ms), refused=asked.refused)


def _told(row: Row | None) -> _Told:
    """What stands in the settings; another version's words count as none."""
    try:
        return _Told() if row is None else msgspec.json.decode(row["value"], type=_Told)
    except msgspec.MsgspecError:
        return _Told()


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _repair(row: Row) -> RepairView:
    return RepairView(
        at=rfc3339(row["at"]), actor=row["actor"], act=Act(row["act"]), first_sequence=row["first_sequence"],
        root="0x" + row["root"].hex(), tx_hash=row["tx_hash"], block_number=row["block_number"],
        block_hash=row["block_hash"], gas_used=row["gas_used"], final_at=_time(row["final_at"]),
    )  # fmt: skip


def _fields(row: Row, repairs: list[Row]) -> dict[str, Any]:
    return {
        "batch_id": row["id"], "first_sequence": row["first_sequence"], "count": row["count"],
        "root": "0x" + row["root"].hex(), "state": row["state"], "closed_at": rfc3339(row["closed_at"]),
        "sent_at": _time(row["sent_at"]), "final_at": _time(row["final_at"]), "tx_hash": row["tx_hash"],
        "block_number": row["block_number"], "block_hash": row["block_hash"], "gas_used": row["gas_used"],
        "gas_price_wei": None if row["gas_price"] is None else str(row["gas_price"]),
        "repairs": tuple(_repair(one) for one in repairs if one["batch_id"] == row["id"]),
    }  # fmt: skip
