"""Keepers of faults: what each begins, and that it is taken back once and for all, however it comes about."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.faults.catalogue import SEED_MOST
from simulator.faults.proxy import Conditions
from simulator.faults.switchboard import Switchboard, read_faults
from simulator.supervisor.faultkeepers import LinkKeeper, RoleKeeper
from simulator.supervisor.faults import FaultRequest, Faults
from zjops.domain.clock import SystemClock
from zjops.domain.errors import Problem
from zjops.domain.ids import SeededIds

LATE, HOLD = "broker.late", "link.hold"


class Bench:
    """Faults on role processes and a link that are made up."""

    def __init__(self, home: Path) -> None:
        self.home, self.clock = home, SystemClock()
        roles: Any = {name: SimpleNamespace(spec=SimpleNamespace(roles=(name,))) for name in ("meter", "worker")}
        self.link = Conditions()
        links: Any = {"broker": SimpleNamespace(conditions=self.link)}
        keepers: Any = {"role": RoleKeeper(roles, home), "link": LinkKeeper(links, self.clock)}
        self.faults = Faults(keepers, self.clock, SeededIds(self.clock, 1), lambda notice: None)

    async def put(self, target: str, fault: str, seed: int | None, lease_s: float = 60) -> str:
        """Begin a fault that strikes half the time."""
        return await self.faults.inject(FaultRequest(target, fault, {"share": 0.5}, lease_s, seed))

    def strikes(self, process: str) -> list[bool]:
        """What a process that reads its faults now decides."""
        board = Switchboard(self.clock)
        board.replace(read_faults(self.home, process))
        return [board.strikes(LATE) for _ in range(64)]

    def holds(self, count: int = 64) -> list[bool]:
        """Which of the next chunks are held back."""
        return [self.link.wait_s() > 0 for _ in range(count)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_seed_reaches_each_process_and_decides_the_same_there_again(bench: Bench) -> None:
    seen = []
    for seed in (7, 7, 8):
        for process in ("meter", "worker"):
            await bench.put(process, LATE, seed)
        seen.append((bench.strikes("meter"), bench.strikes("worker")))
        assert await bench.faults.heal_all() == 2
    assert seen[0] == seen[1] != seen[2]
    assert seen[0][0] != seen[0][1]
    await bench.faults.stop()


async def test_a_seed_reaches_a_link_and_another_fault_of_its_kind_does_not_disturb_it(bench: Bench) -> None:
    await bench.put("broker", HOLD, 7)
    whole = bench.holds()
    await bench.faults.heal_all()
    await bench.put("broker", HOLD, 7)
    first = bench.holds(20)
    other = await bench.put("broker", HOLD, None)
    bench.holds(5)
    await bench.faults.heal(other)
    assert first + bench.holds(44) == whole
    await bench.faults.stop()
    assert (bench.link.faults, bench.link.chances) == ({}, {})


@pytest.mark.parametrize("seed", [-1, SEED_MOST + 1])
async def test_a_seed_out_of_bounds_is_refused(bench: Bench, seed: int) -> None:
    with pytest.raises(Problem, match="seed must lie between 0 and 2147483648"):
        await bench.put("meter", LATE, seed)
    assert bench.faults.active() == []
