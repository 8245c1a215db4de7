"""What the abuse rules do: bans, links and rungs of the ladder, each with its reason in the audit log and on OPS."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

import msgspec

from simulator.outbox import enqueue_ops
from simulator.policy.abuse import BAN_S, FAILURES_WITHIN_S, Breach, SignalKind, Step, breach, earns_ban, next_step
from simulator.store.port import Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.events import OpsEvent, OpsKind
from zjops.domain.ids import Ids

ACTOR = "abuse-rules"


def record(
    tx: Tx, ids: Ids, clock: Clock, kind: OpsKind, *, actor: str, action: str, target: str,
    reason: str | None = None, **values: Any,
) -> None:  # fmt: skip
    """An entry of the audit log and its OPS event, in the transaction of the act."""
    tx.run(
        "audit_put", now=clock.now_ms(), actor=actor, action=action, target=target, reason=reason,
        details=msgspec.json.encode(values).decode(),
    )  # fmt: skip
    event = OpsEvent(kind=kind.value, actor=actor, action=action, tenant=target, reason=reason, values=values)
    enqueue_ops(tx, ids, clock, event)


def is_shared_address(address: str) -> bool:
    """Loopback stands for everyone on this machine: it is neither banned nor a sign that accounts belong together."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True


SEEN_MOST = 100_000


class Abuse:
    """Applies the rules; decisions are those of `policy.abuse`."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._seen: set[tuple[str, str, str]] = set()

    async def failed_login(self, address: str) -> bool:
        """Count a failed login, for all processes together; returns whether the address has earned a ban by it."""
        return await self._store.transact(lambda tx: self._failed(tx, address))

    def _failed(self, tx: Tx, address: str) -> bool:
        now = self._clock.now_ms()
        tx.run("failures_purge", before=now - round(FAILURES_WITHIN_S * 1000))
        tx.run("failure_put", address=address, now=now)
        row = tx.one("failures_of", address=address)
        if row is None or not earns_ban(row["count"]):
            return False
        tx.run("failures_drop", address=address)
        self._ban(tx, address, "repeated failed logins", BAN_S)
        return True

    def _ban(self, tx: Tx, address: str, reason: str, seconds: int) -> None:
        tx.run("ban_put", address=address, until=self._clock.now_ms() + seconds * 1000, reason=reason)
        self._note(tx, "address.ban", address, reason, seconds=seconds)

    async def spike(self, tenant: str, times: int) -> None:
        """Tell of a tenant's traffic that is many times its usual."""
        reason = f"{times} times the usual requests a minute"
        await self._store.transact(lambda tx: self._note(tx, "traffic.spike", tenant, reason, times=times))

    def knows(self, tenant: str, kind: SignalKind, value: str) -> bool:
        """Whether this signal of a tenant was seen before, so that it says nothing new."""
        return (tenant, kind, value) in self._seen

    async def observe(self, tenant: str, plan: str, kind: SignalKind, value: str) -> Step | None:
        """Remember a signal of a tenant; returns the rung that it led to, None when nothing was wrong."""
        if not value or self.knows(tenant, kind, value):
            return None
        if kind is SignalKind.ADDRESS and is_shared_address(value):
            self._remember(tenant, kind, value)
            return None
        digest = hashlib.sha256(f"{kind.value}:{value}".encode()).digest()
        step = await self._store.transact(lambda tx: self._observe(tx, tenant, plan, kind, digest))
        self._remember(tenant, kind, value)
        return step

    def _remember(self, tenant: str, kind: SignalKind, value: str) -> None:
        if len(self._seen) >= SEEN_MOST:
            # What was forgotten is looked up in the store once more.
            self._seen.clear()
        self._seen.add((tenant, kind, value))

    def _observe(self, tx: Tx, tenant: str, plan: str, kind: SignalKind, digest: bytes) -> Step | None:
        if not tx.run("signal_put", kind=kind.value, value=digest, tenant=tenant, now=self._clock.now_ms()):
            return None
        rows = tx.all("signal_sharing", kind=kind.value, value=digest, tenant=tenant)
        found = breach(kind, tenant, plan, {row["tenant"]: row["plan"] for row in rows})
        return None if found is None else self._climb(tx, tenant, kind, found)

    def _climb(self, tx: Tx, tenant: str, kind: SignalKind, found: Breach) -> Step:
        case = tx.one("case_get", tenant=tenant)
        step = next_step(Step(case["step"]) if case else Step.NONE)
        reason = f"{found.rule}: shares its {kind.value} with {', '.join(found.others)}"
        tx.run("case_put", tenant=tenant, step=step.value, reason=reason, now=self._clock.now_ms())
        if step is Step.MERGE:
            self._link(tx, tenant, found.others)
        elif step in (Step.SUSPENSION, Step.BAN):
            status = "suspended" if step is Step.SUSPENSION else "banned"
            tx.run("tenant_change", tenant=tenant, plan=None, status=status, overrides=None)
        self._note(tx, f"ladder.{step.value}", tenant, reason, others=list(found.others))
        return step

    def _link(self, tx: Tx, tenant: str, others: tuple[str, ...]) -> None:
        now, account = self._clock.now_ms(), min(tenant, *others)
        for name in (tenant, *others):
            row = tx.one("link_get", tenant=name)
            if row is not None:
                tx.run("link_rename", former=row["account"], account=account)
            tx.run("link_put", tenant=name, account=account, now=now)

    def _note(self, tx: Tx, action: str, target: str, reason: str, **values: Any) -> None:
        record(
            tx, self._ids, self._clock, OpsKind.ABUSE, actor=ACTOR, action=action, target=target, reason=reason,
            **values,
        )  # fmt: skip

    def forget(self, tenant: str) -> None:
        """Look at a tenant's signals anew."""
        self._seen = {entry for entry in self._seen if entry[0] != tenant}


def pardon(tx: Tx, tenant: str) -> None:
    """Take a tenant off the ladder: its link, its signals and its suspension go."""
    tx.run("link_drop", tenant=tenant)
    tx.run("signals_drop", tenant=tenant)
    tx.run("case_drop", tenant=tenant)
    tx.run("tenant_change", tenant=tenant, plan=None, status="active", overrides=None)
