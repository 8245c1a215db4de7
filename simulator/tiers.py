"""Changes of plan that no request makes: downgrades whose month has come, upgrades of who has opted in (S10, R55)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from simulator.abuse import record
from simulator.linked import linked_usage
from simulator.policy.tiers import upgrade_due
from simulator.service import Looped
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock, utc_month
from zjops.domain.errors import UnreachableError
from zjops.domain.events import OpsKind
from zjops.domain.ids import Ids
from zjops.domain.plans import price_book

ACTOR = "plan-rules"


class Tiers(Looped):
    """Looks every few seconds; a change and what tells of it are one transaction."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, telemetry: Telemetry, *, wake: Callable[[], None], every_s: float,
    ) -> None:  # fmt: skip
        super().__init__("plan rules")
        self._store, self._clock, self._ids, self._telemetry = store, clock, ids, telemetry
        self._wake, self._every_s = wake, every_s

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except UnreachableError as exc:
                self._telemetry.log("warning", "plan rules wait", reason=str(exc))
            await self._clock.sleep(self._every_s)

    async def look(self) -> int:
        """Make every change that is due; returns how many."""
        if not await self._store.read(self._anything):
            return 0
        changed = await self._store.transact(self._change)
        if changed:
            self._wake()
        return changed

    def _anything(self, tx: Tx) -> bool:
        """Most of the time nothing is due: then nothing is written, and no lock is taken."""
        return bool(tx.all("plan_changes_due", now=self._clock.now_ms()) or self._upgrades(tx))

    def _upgrades(self, tx: Tx) -> list[tuple[Row, str, int]]:
        book, month, found = price_book(), utc_month(self._clock.now_ms()), []
        for row in tx.all("tenants_auto_upgrade"):
            used = linked_usage(tx, row["tenant"], month)
            wanted = upgrade_due(book, row["plan"], msgspec.json.decode(row["overrides"]), used)
            if wanted is not None:
                found.append((row, wanted, used))
        return found

    def _change(self, tx: Tx) -> int:
        due = tx.all("plan_changes_due", now=self._clock.now_ms())
        for row in due:
            tx.run("plan_change_drop", tenant=row["tenant"])
            self._move(tx, row, "plan.downgrade", row["wanted"], row["reason"] or "asked for last month")
        upgrades = self._upgrades(tx)
        for row, wanted, used in upgrades:
            self._move(tx, row, "plan.upgrade", wanted, "80 % of the month's units are used", used=used)
        return len(due) + len(upgrades)

    def _move(self, tx: Tx, row: Row, action: str, wanted: str, reason: str, **values: int) -> None:
        tx.run("tenant_change", tenant=row["tenant"], plan=wanted, status=None, overrides=None)
        record(
            tx, self._ids, self._clock, OpsKind.PLAN, actor=ACTOR, action=action, target=row["tenant"], reason=reason,
            plan=wanted, former=row["plan"], **values,
        )  # fmt: skip
