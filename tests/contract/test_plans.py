"""Plans that change: upgrades at once, downgrades with the month, and by themselves for who has opted in (S10, R55)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simulator.store.port import Row
from simulator.tiers import Tiers
from tests.contract.stage import Stage, staged
from tests.support.nats import eventually
from zjops.domain.clock import ManualClock, month_bounds_ms, rfc3339, utc_month


def rules(stage: Stage, at_ms: int | None = None) -> Tiers:
    """The plan rules at a moment of our choice."""
    clock: Any = stage.deps.clock if at_ms is None else ManualClock(at_ms)
    return Tiers(stage.store, clock, stage.deps.ids, stage.deps.telemetry, wake=stage.deps.wake, every_s=1.0)


async def audited(stage: Stage, action: str) -> list[Row]:
    asked = {"after": 0, "before": 2**62, "since": 0, "reads": True, "actor": None, "action": action, "most": 100}
    return await stage.store.read(lambda tx: tx.all("audit_page", **asked))


async def test_a_downgrade_waits_for_the_next_month_and_an_upgrade_does_not(stage: Stage) -> None:
    operator = await stage.operator()
    await stage.client("acme", "pro")
    path = "/v1/admin/tenants/acme"
    asked = await stage.ask("PATCH", path, operator, {"plan": "starter", "reason": "costs"})
    after = month_bounds_ms(utc_month(stage.deps.clock.now_ms()))[1]
    view = asked.json()
    assert (view["plan"], view["nextPlan"], view["nextPlanFrom"]) == ("pro", "starter", rfc3339(after))
    assert await rules(stage, after - 1).look() == 0
    assert (await stage.ask("GET", path, operator)).json()["plan"] == "pro"
    assert await rules(stage, after).look() == 1
    assert await rules(stage, after).look() == 0
    view = (await stage.ask("GET", path, operator)).json()
    assert (view["plan"], view["nextPlan"], view["computeUnitsLimit"]) == ("starter", None, 1_000_000)
    assert [row["reason"] for row in await audited(stage, "plan.downgrade")] == ["costs"]
    assert (await stage.ask("PATCH", path, operator, {"plan": "enterprise"})).json()["plan"] == "enterprise"


async def test_a_downgrade_that_waits_is_taken_back_by_asking_for_the_present_plan(stage: Stage) -> None:
    operator = await stage.operator()
    await stage.client("acme", "pro")
    path = "/v1/admin/tenants/acme"
    await stage.ask("PATCH", path, operator, {"plan": "free"})
    assert (await stage.ask("PATCH", path, operator, {"status": "active"})).json()["nextPlan"] == "free"
    assert (await stage.ask("PATCH", path, operator, {"plan": "pro"})).json()["nextPlan"] is None
    assert await rules(stage, 2**45).look() == 0


async def test_who_has_opted_in_is_upgraded_once_at_80_percent_and_it_is_told(stage: Stage) -> None:
    willing = await stage.client("willing", "free", auto_upgrade=True)
    await stage.client("other", "free")
    month = utc_month(stage.deps.clock.now_ms())
    for tenant in ("willing", "other"):
        await stage.sql("INSERT INTO usage (tenant, month, charged) VALUES (:t, :m, 23950)", t=tenant, m=month)
    assert await rules(stage).look() == 0
    await stage.job(willing)
    assert await rules(stage).look() == 1
    assert await rules(stage).look() == 0
    stage.deps.directory.forget("willing")
    reply = await stage.ask("GET", "/v1/jobs", willing)
    assert (reply.headers["x-computeunits-limit"], reply.headers["x-computeunits-used"]) == ("1000000", "24050")
    [row] = await audited(stage, "plan.upgrade")
    assert (row["actor"], row["target"]) == ("plan-rules", "willing")
    assert '"plan":"starter"' in row["details"]
    told = await stage.store.read(lambda tx: tx.all("outbox_after", stream="OPS", after=0, most=100))
    assert [r["subject"] for r in told if b"plan.upgrade" in r["payload"]] == ["ops.plan"]


async def test_the_running_platform_applies_what_is_due_by_itself(tmp_path: Path) -> None:
    async with staged(tmp_path, idle_s=0.02) as stage:
        operator = await stage.operator()
        await stage.client("acme", "pro")
        await stage.ask("PATCH", "/v1/admin/tenants/acme", operator, {"plan": "starter"})
        await stage.sql("UPDATE plan_changes SET at = 0")

        async def lower() -> bool:
            view = (await stage.ask("GET", "/v1/admin/tenants/acme", operator)).json()
            return bool(view["plan"] == "starter")

        await eventually(lower)
