"""The loop of the relayer: one active at a time, which closes, confirms, watches and sends, in this order."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.broker.port import Broker
from simulator.chain.port import Chain, Outlook
from simulator.lease import Lease
from simulator.policy.backoff import BackOff
from simulator.policy.batching import Batching
from simulator.policy.fees import Fees
from simulator.relayer.closing import Closer
from simulator.relayer.confirming import Confirmer, Standing
from simulator.relayer.desk import Desk
from simulator.relayer.leaves import LeafFiles
from simulator.relayer.pulse import Pulse
from simulator.relayer.repairing import UNSETTLED, Asked, Repairer
from simulator.relayer.reporting import PAUSED, Report
from simulator.relayer.sending import Sender
from simulator.relayer.timing import Timed
from simulator.relayer.view import View
from simulator.relayer.watching import Fate, Watcher
from simulator.service import Looped, background
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.anchoring import DISAGREE
from zjops.domain.chains import Finality
from zjops.domain.clock import Clock
from zjops.domain.errors import ChainRefused, ChainUnavailable, Fenced, FileUnavailable, UnreachableError
from zjops.domain.ids import Ids

__all__ = ["PAUSED", "Relayer", "Rules"]

OPEN_MOST = 64
IN_FLIGHT_MOST = 8
"""Roots on their way at once: enough for a block each second while each waits a few, few enough to replace."""
IDLE_SHARE = 10
"""With nothing on the way, ten looks in the life of a batch are enough."""
IDENTITY_S = 60.0
PATIENT = (DISAGREE, "node_behind", UNSETTLED)
"""A node that answers oddly answers: no reason to hold off."""


@dataclass(frozen=True)
class Rules:
    """The relayer's settings; durations in seconds, fees in wei a unit of gas. `most` is what it may offer at most."""

    batching: Batching
    finality: Finality
    most: Fees
    poll_s: float
    again_after_s: float
    stuck_after_s: float
    stalled_after_s: float


class Relayer(Looped):
    """One active relayer at a time, held by a lease."""

    def __init__(
        self, store: Store, chain: Chain, broker: Broker, clock: Clock, ids: Ids, telemetry: Telemetry, lease: Lease,
        *, rules: Rules, folder: Path, offload: Callable[..., Awaitable[Any]],
    ) -> None:  # fmt: skip
        super().__init__("relayer")
        timed = Timed(chain, clock)
        self._store, self._chain, self._clock, self._telemetry, self._lease = store, timed, clock, telemetry, lease
        self._rules, self._backoff = rules, BackOff(max(rules.poll_s, 1.0))
        desk = Desk(store, timed, clock, ids, telemetry, lease)
        self._report = Report(desk, lease.owner)
        self._closer = Closer(desk, LeafFiles(folder), rules.batching, offload)
        self._sender = Sender(desk, rules.most)
        self._watcher = Watcher(
            desk, self._sender, again_after_s=rules.again_after_s, stuck_after_s=rules.stuck_after_s
        )  # fmt: skip
        self._confirmer = Confirmer(desk, broker, rules.finality)
        self._repairer = Repairer(desk, self._confirmer, self._watcher, rules.finality, offload)
        self._desk = desk
        self._outlook: Outlook | None = None
        self._identified_at = float("-inf")
        self._pulse = Pulse(timed, clock, telemetry, rules.stalled_after_s)

    async def stop(self) -> None:
        if self._task is not None:
            await super().stop()
            with contextlib.suppress(UnreachableError):
                await self._lease.release()

    async def _run(self) -> None:
        keeper = background(self._lease.keep(), "the relayer's lease")
        try:
            await self._turns()
        finally:
            keeper.cancel()

    async def _turns(self) -> None:
        while True:
            delay_s = self._rules.poll_s
            try:
                if await self._lease.hold():
                    with self._lease.busy():
                        delay_s = await self._turn()
                else:
                    self._report.forget()
            except Fenced:
                self._report.forget()
                self._telemetry.log("info", "another relayer is active")
            except UnreachableError as exc:
                self._telemetry.log("warning", "relayer waits", reason=str(exc))
            await self._clock.sleep(delay_s)

    async def _turn(self) -> float:
        """One step, and what its failure means; returns how long to wait for the next."""
        held_s = self._backoff.wait_s(self._clock.monotonic())
        if held_s:
            if not await self._is_paused():
                await self._closer.close_due()
            return min(held_s, self._rules.poll_s)
        try:
            open_batches = await self.step()
        except (ChainUnavailable, ChainRefused, FileUnavailable) as exc:
            await self._failed(exc)
            return self._rules.poll_s
        self._backoff.succeeded()
        idle_s = self._rules.batching.max_age_s / IDLE_SHARE
        return self._rules.poll_s if open_batches else max(self._rules.poll_s, idle_s)

    async def _is_paused(self) -> bool:
        """Whether everything is held back; says so."""
        paused = await self._report.is_paused()
        if paused:
            await self._report.paused()
        return paused

    async def _failed(self, exc: ChainUnavailable | ChainRefused | FileUnavailable) -> None:
        self._identified_at = float("-inf")
        if isinstance(exc, ChainUnavailable) and exc.reason not in PATIENT:
            self._backoff.failed(self._clock.monotonic())
        else:
            self._backoff.succeeded()
        self._telemetry.gauge("relayer_breaker_open", int(self._backoff.open))
        await self._report.tell("waiting", exc.reason, str(exc), self._outlook)

    async def step(self) -> int:
        """Close what is due, then move every open batch one step on; returns how many are open."""
        if asked := await self._repairer.asked():
            return await self._repair(asked)
        if await self._is_paused():
            return 0
        await self._closer.close_due()
        batches = await self._store.read(lambda tx: tx.all("batches_open", most=OPEN_MOST))
        self._telemetry.gauge("relayer_open_batches", len(batches))
        self._outlook = None
        view = View(self._chain)
        await self._check_chain(view)
        if gone := await self._confirmer.gone(view):
            await self._report.halt(gone)
            return 0
        unmined = [batch for batch in batches if not await self._is_mined(view, batch)]
        await self._advance(unmined, (await view.head()).number)
        self._telemetry.gauge("relayer_breaker_open", 0)
        await self._report.tell(*self._pulse.feel(), self._outlook, self._sender.last_fees)
        return len(batches)

    async def _repair(self, asked: Asked) -> int:
        """Anchor again what an operator asked for: first of all, and also while everything else is held back."""
        self._outlook, view = None, View(self._chain)
        await self._check_chain(view)
        if await self._repairer.repair(view, asked):
            self._watcher.forget()
        return 1

    async def _check_chain(self, view: View) -> None:
        """Whether this is our chain and contract, and a node that does not go back. Raises what says why not."""
        now = self._clock.monotonic()
        if now - self._identified_at >= IDENTITY_S:
            await self._chain.identity()
            self._identified_at = now
        self._pulse.see((await view.head()).number)

    async def _ask(self) -> Outlook:
        """The operator's account and the fees, asked for once a step."""
        if self._outlook is None:
            self._outlook = await self._chain.outlook()
        return self._outlook

    async def _is_mined(self, view: View, batch: Row) -> bool:
        """Whether a batch is in a block that is still there; makes it final when it is deep enough."""
        if batch["state"] != "mined":
            return False
        standing = await self._confirmer.standing(view, batch)
        if standing is Standing.FINAL and await self._confirmer.finalise(batch):
            await self._watcher.count_costs(batch)
        return standing is not Standing.MOVED or await self._moved(batch)

    async def _moved(self, batch: Row) -> bool:
        """After a reorganisation: mined in another block, or out of all of them and to be sent again."""
        receipt = await self._watcher.receipt(await self._watcher.transactions(batch["id"]))
        if receipt is not None and receipt.block_hash == batch["block_hash"]:
            text = f"block {batch['block_number']} has another hash than the receipt of batch {batch['id']} says"
            raise ChainUnavailable(text, DISAGREE)
        self._telemetry.log("warning", "reorganised", batch=batch["id"], block=batch["block_number"])
        self._telemetry.count("blockchain_confirmations_total", outcome="reorged")
        if receipt is not None and receipt.status == 1:
            await self._watcher.mined(batch, receipt)
            return True
        await self._desk.transact(lambda tx: _unmined(tx, batch["id"]))
        batch["state"] = "sent"
        return False

    async def _advance(self, unmined: list[Row], head: int) -> None:
        """Look after the first that is not mined, and send those behind it while there is room."""
        leads, flying = True, 0
        for batch in unmined:
            if batch["state"] == "sent":
                fate = await self._watcher.look(batch, head, self._ask) if leads else Fate.WAITS
                if fate is Fate.REOPENED:
                    return
            elif leads or (flying < IN_FLIGHT_MOST and self._sender.can_follow):
                fate = await self._send(batch, leads)
            else:
                return
            leads = leads and fate is Fate.MINED
            flying += fate is Fate.WAITS

    async def _send(self, batch: Row, leads: bool) -> Fate:
        """Send a closed batch: its leaves are public before its root is."""
        await self._closer.publish(batch)
        if leads and await self._watcher.adopt(batch):
            return Fate.MINED
        self._watcher.sent(batch, await self._sender.send(batch, await self._ask(), leads=leads))
        return Fate.WAITS


def _unmined(tx: Tx, batch: int) -> None:
    tx.run("batch_unmined", id=batch)
    tx.run("transactions_cost_nothing", id=batch)
