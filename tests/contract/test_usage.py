"""Usage by day (S6): a tenant's own, every day of the month so far, adding to the month's counters."""

from __future__ import annotations

from typing import Any

from tests.contract.stage import SIEVE, SLOW, Stage
from tests.support.nats import eventually
from zjops.domain.clock import month_bounds_ms, utc_date, utc_month

PATH = "/v1/billing/usage"


async def _usage(stage: Stage, token: str, query: str = "") -> dict[str, Any]:
    reply = await stage.ask("GET", PATH + query, token)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_each_day_so_far_is_there_and_they_add_to_the_month(stage: Stage) -> None:
    token = await stage.client("acme", "starter")
    for body in (SIEVE, SIEVE, SLOW):
        await stage.job(token, body)
    cancelled = await stage.job(token, SLOW | {"jobType": "compute_heavy"})
    await stage.ask("POST", f"/v1/jobs/{cancelled}/cancel", token)

    async def ended() -> bool:
        found = await _usage(stage, token)
        return bool(found["computeUnitsCharged"] + found["computeUnitsReleased"] == 300)

    await eventually(ended)
    found = await _usage(stage, token)
    now = stage.deps.clock.now_ms()
    assert (found["tenantId"], found["plan"], found["month"]) == ("acme", "starter", utc_month(now))
    assert found["computeUnitsHeld"] == 100
    assert [day["date"] for day in found["days"]][-1] == utc_date(now)
    assert len(found["days"]) == int(utc_date(now)[-2:])
    for name in ("computeUnitsHeld", "computeUnitsCharged", "computeUnitsReleased"):
        assert sum(day[name] for day in found["days"]) == found[name]
    assert sum(day["jobs"] for day in found["days"]) == 4
    assert 100 * sum(day["chargedJobs"] for day in found["days"]) == found["computeUnitsCharged"]


async def test_a_month_that_was_is_whole_and_one_to_come_is_refused(stage: Stage) -> None:
    token, now = await stage.client("acme"), stage.deps.clock.now_ms()
    february = await _usage(stage, token, "?month=2024-02")
    assert [day["date"] for day in february["days"]] == [f"2024-02-{n:02d}" for n in range(1, 30)]
    assert {day["jobs"] for day in february["days"]} == {0}
    assert february["periodEnd"] == "2024-03-01T00:00:00.000Z"
    later = await stage.ask("GET", f"{PATH}?month={utc_month(month_bounds_ms(utc_month(now))[1])}", token)
    assert (later.status_code, later.json()["code"]) == (400, "invalid-parameter")


async def test_nobody_sees_what_another_has_used(stage: Stage) -> None:
    mine, other = await stage.client("acme"), await stage.client("rival")
    await stage.job(mine, SIEVE)
    assert sum(day["jobs"] for day in (await _usage(stage, other))["days"]) == 0
    weak = await stage.client("weak", scopes=("jobs:read",))
    assert (await stage.ask("GET", PATH, weak)).json()["code"] == "insufficient-scope"
