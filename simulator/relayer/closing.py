"""Closing: settled jobs become a batch with numbers, a root and a file of leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from simulator.policy.batching import Batching, batch_due, waited_s
from simulator.relayer.desk import Desk
from simulator.relayer.leaves import LeafFiles, hashes_of
from simulator.store.port import Row, Tx
from zjops.domain.errors import FileUnavailable
from zjops.domain.merkle import Tree

CLOSE_MOST = 8
"""How many batches one look closes, so that sending is not kept waiting by a flood."""


class Closer:
    """Gives sequence numbers in the order of settlement (C73)."""

    def __init__(self, desk: Desk, files: LeafFiles, rule: Batching, offload: Callable[..., Awaitable[Any]]) -> None:
        self._desk, self._files, self._rule, self._offload = desk, files, rule, offload
        self._watched_since: float | None = None

    async def close_due(self) -> int:
        """Close what is due; returns how many batches."""
        closed = 0
        while closed < CLOSE_MOST and await self._is_due():
            rows, places, first = await self._desk.store.read(self._next)
            if not rows:
                # Another relayer, who has the lease by now, has closed them.
                break
            # Hashing takes most of the time, and what settles next waits for no lock meanwhile.
            hashes = hashes_of(rows, first)
            batch = await self._desk.transact(partial(self._close, places=places, first=first, root=Tree(hashes).root))
            if batch is None:
                break
            closed, self._watched_since = closed + 1, None
            # A disk that is full now stops nothing but this batch: it is not sent before its leaves are published.
            with contextlib.suppress(FileUnavailable):
                await self._write(batch, hashes)
        return closed

    async def _is_due(self) -> bool:
        due = await self._desk.store.read(lambda tx: tx.one("anchor_due", most=self._rule.max_jobs))
        assert due is not None
        now = self._desk.clock.monotonic()
        if not due["count"]:
            self._watched_since = None
        elif self._watched_since is None:
            self._watched_since = now
        watched = 0.0 if self._watched_since is None else now - self._watched_since
        return batch_due(self._rule, due["count"], waited_s(due["oldest"], self._desk.clock.now_ms(), watched))

    def _next(self, tx: Tx) -> tuple[list[Row], list[Row], int]:
        """What the next batch holds, the places of these jobs in the order of settlement, its first sequence number."""
        following = tx.one("batch_next_sequence")
        assert following is not None
        most = self._rule.max_jobs
        return tx.all("anchor_next", most=most), tx.all("anchor_places", most=most), following["first"]

    def _close(self, tx: Tx, *, places: list[Row], first: int, root: bytes) -> Row | None:
        """Make a batch of these jobs; None when they are not the next ones any more. What has settled since is none."""
        if tx.one("batch_next_sequence") != {"first": first} or tx.all("anchor_places", most=len(places)) != places:
            return None
        tx.run("batch_insert", first=first, count=len(places), root=root, now=self._desk.clock.now_ms())
        last = tx.one("batch_last")
        assert last is not None
        number = last["id"]
        tx.many("job_batched", [(number, first + index, index, row["id"]) for index, row in enumerate(places)])
        batch = tx.one("batch_get", id=number)
        assert batch is not None
        return batch

    async def _write(self, batch: Row, hashes: Sequence[bytes]) -> None:
        try:
            await self._offload(self._files.write, batch, hashes)
        except OSError as exc:
            text = f"the leaves of batch {batch['id']} cannot be written to {exc.filename}: {exc.strerror or exc}"
            raise FileUnavailable(text, "leaves_unwritten") from exc

    async def publish(self, batch: Row) -> None:
        """Write the file of a batch unless it is there: whoever closed or moved it may have been killed in between.

        Raises `FileUnavailable`.
        """
        if await self._offload(self._files.hold, batch):
            return
        rows = await self._desk.store.read(lambda tx: tx.all("batch_outcomes", batch_id=batch["id"]))
        await self._write(batch, hashes_of(rows, batch["first_sequence"]))
