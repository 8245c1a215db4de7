"""Which contract a home has: deployed once, by whoever is first, and written down so that it stays."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from simulator.chain.deployment import contract_path, ensure_deployment, load_deployment
from simulator.chain.port import ChainIdentity
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainUnavailable

CLOCK = SystemClock()


def _identity(number: int) -> ChainIdentity:
    return ChainIdentity(31338, "0x" + f"{number:040x}", "0x" + "cd" * 32)


async def test_of_several_at_once_one_deploys_and_all_use_it(tmp_path: Path) -> None:
    deployed: list[int] = []

    async def deploy() -> ChainIdentity:
        deployed.append(len(deployed))
        await asyncio.sleep(0)
        return _identity(len(deployed))

    found = await asyncio.gather(*(ensure_deployment(tmp_path, deploy, CLOCK) for _ in range(4)))
    assert found == [_identity(1)] * 4
    assert deployed == [0]
    assert load_deployment(tmp_path) == _identity(1)


async def test_a_deployment_that_failed_is_tried_by_the_next(tmp_path: Path) -> None:
    async def fail() -> ChainIdentity:
        raise ChainUnavailable("not mined in time")

    async def deploy() -> ChainIdentity:
        return _identity(7)

    with pytest.raises(ChainUnavailable):
        await ensure_deployment(tmp_path, fail, CLOCK)
    assert load_deployment(tmp_path) is None
    assert await ensure_deployment(tmp_path, deploy, CLOCK) == _identity(7)


async def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a loss of power a home must not have an empty file for its contract."""
    steps: list[str] = []
    honest, target = os.fsync, contract_path(tmp_path)

    def fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append(f"{kind}, {'named' if target.exists() else 'not named'}")
        honest(descriptor)

    async def deploy() -> ChainIdentity:
        return _identity(1)

    monkeypatch.setattr("simulator.chain.deployment.os.fsync", fsync)
    await ensure_deployment(tmp_path, deploy, CLOCK)
    assert steps == ["file, not named", "folder, named"]
    assert [path.name for path in target.parent.iterdir() if path.name.startswith(".")] == []
