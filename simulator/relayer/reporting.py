"""Reporting: whether the relayer works, and if not, why: in the store, the log and the metrics."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from simulator.abuse import record
from simulator.chain.port import Outlook
from simulator.policy.fees import Fees
from simulator.relayer.desk import Desk
from simulator.store.port import Row, Tx
from zjops.domain.anchoring import REORGED, TAKEN
from zjops.domain.events import OpsKind

STATE = "relayer_state"
PAUSED = "relayer_paused"
ACTOR = "relayer"
REFRESH_S = 5.0
"""How often numbers that move by themselves, such as the balance, are written again."""
NAMED_MOST = 20
Kind = Literal["active", "slow", "waiting", "paused"]


class _Said(msgspec.Struct):
    """What was written down before, as far as it is needed here."""

    state: str | None = None
    reason: str | None = None


def _said(row: Row | None) -> _Said:
    """What stands in the settings; another version's words count as none."""
    try:
        return _Said() if row is None else msgspec.json.decode(row["value"], type=_Said)
    except msgspec.MsgspecError:
        return _Said()


def has_stopped(tx: Tx) -> bool:
    """Whether the relayer says that it has stopped, because what was final is gone."""
    return (_said(tx.one("setting_get", name=STATE)).reason or "").startswith(REORGED)


def _named(batches: list[int]) -> str:
    """Batches by their numbers, the many by their range."""
    if len(batches) <= NAMED_MOST:
        return ", ".join(map(str, batches))
    return f"{batches[0]} to {batches[-1]} ({len(batches)} of them)"


def _code(reason: str | None) -> str:
    """A reason in one word."""
    return (reason or "").partition(":")[0]


class Report:
    """What is written down of the relayer; a change is told once, not at every look."""

    def __init__(self, desk: Desk, owner: str) -> None:
        self._desk, self._owner = desk, owner
        self._kind: Kind | None = None
        self._reason: str | None = None
        self._since_ms, self._written_at = 0, float("-inf")

    async def tell(
        self, kind: Kind, code: str = "", text: str = "", outlook: Outlook | None = None, fees: Fees | None = None
    ) -> None:
        """Say how it stands: at once when that has changed, else now and then."""
        reason = f"{code}: {text}" if code else None
        changed = kind != self._kind or code != _code(self._reason)
        now = self._desk.clock.monotonic()
        if not changed and (outlook is None or now - self._written_at < REFRESH_S):
            return
        if changed:
            self._since_ms = self._desk.clock.now_ms()
            self._announce(kind, code, text)
        self._kind, self._reason, self._written_at = kind, reason, now
        said = self._as_json(outlook, fees)
        await self._desk.write("setting_put", name=STATE, value=said)

    def forget(self) -> None:
        """Begin anew when the lease was lost: another has written since, and what is measured is its to tell."""
        self._weigh("")
        if self._kind is not None:
            self._desk.telemetry.gauge("relayer_breaker_open", 0)
            self._desk.telemetry.gauge("relayer_open_batches", 0)
        self._kind = self._reason = None

    def _announce(self, kind: Kind, code: str, text: str) -> None:
        telemetry, former = self._desk.telemetry, _code(self._reason)
        self._weigh(code)
        if kind in ("waiting", "slow"):
            level = "critical" if code == TAKEN else "warning"
            telemetry.log(level, "relayer waits" if kind == "waiting" else "slow node", reason=code, why=text)
        elif former:
            telemetry.log("info", "relayer goes on", after=former)

    def _weigh(self, code: str) -> None:
        """Have the metric name the one reason that stands now, and none where the relayer works."""
        former = _code(self._reason)
        if former and former != code:
            self._desk.telemetry.gauge("relayer_waiting", 0, reason=former)
        if code:
            self._desk.telemetry.gauge("relayer_waiting", 1, reason=code)

    def _as_json(self, outlook: Outlook | None, fees: Fees | None) -> str:
        said: dict[str, Any] = {
            "state": self._kind, "reason": self._reason, "since_ms": self._since_ms, "owner": self._owner,
            "address": self._desk.chain.sender,
        }  # fmt: skip
        if outlook is not None:
            said |= {"balance_wei": str(outlook.balance), "nonce": outlook.nonce}
            said["fee_wei"] = str(outlook.base_fee + outlook.tip if fees is None else fees.max_fee)
            self._desk.telemetry.gauge("relayer_balance_wei", outlook.balance)
        return msgspec.json.encode(said).decode()

    async def paused(self) -> None:
        """Say that nothing is done, unless a reason stands there already."""
        stored = await self._desk.store.read(lambda tx: tx.one("setting_get", name=STATE))
        said = _said(stored)
        if said.state == "paused":
            self._weigh(_code(said.reason))
            self._kind, self._reason = "paused", said.reason
            return
        await self.tell("paused", "operator", "paused by an operator")

    async def halt(self, batches: list[int]) -> None:
        """Stop for good: what was final is gone, and only a person can say what is true now."""
        named = _named(sorted(batches))
        text = f"batch {named} was final and its block is no longer on the chain; nothing more is sent or confirmed"
        self._weigh(REORGED)
        self._kind, self._reason, self._since_ms = "paused", f"{REORGED}: {text}", self._desk.clock.now_ms()
        self._desk.telemetry.log("critical", "reorganised beyond finality", batches=sorted(batches))
        self._desk.telemetry.count("blockchain_confirmations_total", outcome=REORGED)

        def stop(tx: Tx) -> None:
            tx.run("setting_put", name=PAUSED, value="1")
            tx.run("setting_put", name=STATE, value=self._as_json(None, None))
            record(
                tx, self._desk.ids, self._desk.clock, OpsKind.RELAYER, actor=ACTOR, action="relayer.halt",
                target="platform", reason=text, batches=sorted(batches),
            )  # fmt: skip

        await self._desk.transact(stop)

    async def is_paused(self) -> bool:
        """Whether an operator, or the relayer itself, has stopped confirmations."""
        row: Row | None = await self._desk.store.read(lambda tx: tx.one("setting_get", name=PAUSED))
        return row is not None and row["value"] == "1"
