"""Jobs that are submitted together are answered and stored as each would be by itself."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from simulator.environment import time_skipping
from simulator.intake.records import Accepted, Tenant
from simulator.platform import Platform
from tests.support.tables import look
from zjops.domain.clock import run_virtual
from zjops.domain.errors import Problem, StoreUnavailable
from zjops.domain.jobs import CLAIM_CHECK_BYTES
from zjops.domain.plans import price_book

START_MS = 1_790_000_000_000
GOOD = b'{"jobType":"compute_heavy","parameters":{"algorithm":"prime_sieve","limit":100}}'
OTHER = GOOD.replace(b"100", b"200")
LARGE = msgspec.json.encode({
    "jobType": "data_processing",
    "parameters": {"algorithm": "aggregate", "rows": [{"g": "x" * CLAIM_CHECK_BYTES, "v": 1}], "group_by": "g",
                   "metrics": [{"column": "v", "function": "sum"}]},
})  # fmt: skip
BAD = [b"7", b"{}", GOOD.replace(b"compute_heavy", b"nothing"), GOOD.replace(b'"parameters"', b'"parameter"')]
BODIES = [GOOD, *BAD, OTHER, LARGE, GOOD]
KEYS = [uuid.UUID(int=n + 1, version=4) for n in range(len(BODIES))]
Keys = Sequence[uuid.UUID]
Submit = Callable[[Platform, Tenant, Sequence[bytes], Keys], Awaitable[list[Any]]]


async def _together(platform: Platform, tenant: Tenant, bodies: Sequence[bytes], keys: Keys) -> list[Any]:
    read = [(body, msgspec.json.decode(body)) for body in bodies]
    return list(await platform.intake.submit_all(tenant, read, keys, None))


async def _apart(platform: Platform, tenant: Tenant, bodies: Sequence[bytes], keys: Keys) -> list[Any]:
    told: list[Any] = []
    for body, key in zip(bodies, keys, strict=True):
        told += await asyncio.gather(platform.intake.submit(tenant, body, key, None), return_exceptions=True)
    return told


def _shown(verdict: Any) -> Any:
    """A verdict without its id, which is drawn."""
    if isinstance(verdict, Problem):
        return verdict.kind.code, str(verdict), verdict.errors
    return (verdict.replayed, verdict.job_type) if isinstance(verdict, Accepted) else repr(verdict)


def _played(folder: Path, submit: Submit, **terms: int) -> list[Any]:
    """What is told of a first submission, of the same again, and of others under its keys; and what is stored."""

    async def story() -> list[Any]:
        platform = time_skipping(1, START_MS, folder, roles=("api",))
        await platform.start()
        await platform.add_tenant("acme", "starter", **terms)
        tenant = Tenant("acme", price_book().plan("starter", terms), "active")
        turns = [BODIES, BODIES, BODIES[::-1]]
        told = [[_shown(verdict) for verdict in await submit(platform, tenant, turn, KEYS)] for turn in turns]
        stored = [
            look(platform.ports.store, query)
            for query in (
                "SELECT job_type, payload_bytes, compute_units, parameters_sha256 FROM jobs ORDER BY 2, 1, 4",
                "SELECT stream, subject, count(*) FROM outbox GROUP BY 1, 2 ORDER BY 1, 2",
                "SELECT * FROM usage", "SELECT * FROM usage_days", "SELECT active_jobs FROM tenants",
                "SELECT count(*) FROM idempotency",
            )
        ]  # fmt: skip
        await platform.stop()
        return [told, stored]

    return run_virtual(story())


def test_together_is_as_one_by_one(tmp_path: Path) -> None:
    told, stored = together = _played(tmp_path, _together)
    assert together == _played(tmp_path, _apart)
    assert [verdict[0] for verdict in told[0]].count(False) == 4, "what is good is accepted, what is bad is not"
    assert [verdict[0] for verdict in told[1]].count(True) == 4, "and the second time it is an answer known before"
    assert "idempotency-key-reused" in [verdict[0] for verdict in told[2]]
    assert len(stored[0]) == 6, "two more under keys that had been refused"


def test_what_is_over_the_limit_is_refused_alone(tmp_path: Path) -> None:
    together = _played(tmp_path, _together, active_jobs=1)
    assert [verdict[0] for verdict in together[0][0]].count(False) == 1
    assert len(together[1][0]) == 1


def _story(folder: Path, story: Callable[[Platform, Tenant], Awaitable[None]]) -> None:
    async def whole() -> None:
        platform = time_skipping(1, START_MS, folder, roles=("api",))
        await platform.start()
        await story(platform, await platform.add_tenant("acme", "starter"))
        await platform.stop()

    run_virtual(whole())


def test_keys_are_free_again_after_a_caller_went_away(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> None:
        gone = asyncio.ensure_future(_together(platform, tenant, BODIES, KEYS))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await platform.ports.clock.sleep(1)
        again = await _together(platform, tenant, BODIES, KEYS)
        assert [type(verdict) for verdict in again].count(Accepted) == 4
        assert all(verdict.kind.code != "idempotency-key-in-use" for verdict in again if isinstance(verdict, Problem))
        assert len(look(platform.ports.store, "SELECT id FROM jobs")) == 4

    _story(tmp_path, story)


def test_a_store_that_is_away_is_told_for_every_good_job(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> None:
        store: Any = platform.ports.store
        store.fault = StoreUnavailable("away")
        told = await _together(platform, tenant, [GOOD, OTHER], KEYS[:2])
        assert [type(verdict) for verdict in told] == [StoreUnavailable] * 2
        store.fault = None
        told = await _together(platform, tenant, [GOOD, OTHER], KEYS[:2])
        assert [type(verdict) for verdict in told] == [Accepted] * 2

    _story(tmp_path, story)


def test_a_key_that_runs_is_refused_and_the_others_are_not(tmp_path: Path) -> None:
    async def story(platform: Platform, tenant: Tenant) -> None:
        one = asyncio.ensure_future(platform.intake.submit(tenant, GOOD, KEYS[0], None))
        await asyncio.sleep(0)
        told = await _together(platform, tenant, [GOOD, OTHER], KEYS[:2])
        assert [_shown(verdict)[0] for verdict in told] == ["idempotency-key-in-use", False]
        assert isinstance(await one, Accepted)

    _story(tmp_path, story)
