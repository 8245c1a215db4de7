"""Keepers of faults: what each begins, and that it is taken back once and for all, however it comes about."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simulator import platform
from simulator.faults import catalogue
from simulator.faults.ballast import BALLAST, Told, teller
from simulator.faults.catalogue import KINDS, SEED_MOST, Kind
from simulator.faults.proxy import Conditions
from simulator.faults.switchboard import Switchboard, read_faults
from simulator.supervisor import faultkeepers
from simulator.supervisor.brokerfaults import BrokerKeeper
from simulator.supervisor.control import _parse
from simulator.supervisor.faultkeepers import Fault, LinkKeeper, ProcessKeeper, RoleKeeper
from simulator.supervisor.faults import FaultRequest, Faults
from tests.support.nats import eventually
from zjops.domain.clock import SystemClock, VirtualClock, run_virtual
from zjops.domain.errors import Problem
from zjops.domain.ids import SeededIds

LATE, HOLD = "broker.late", "link.hold"
ROLES = ("api", "outbox", "settlement", "relayer", "meter", "worker", "broker", "chain")


class Bench:
    """Faults on role processes and a link that are made up."""

    def __init__(self, home: Path) -> None:
        self.home, self.clock = home, SystemClock()
        self.told: list[str | None] = []
        roles: Any = {name: SimpleNamespace(spec=SimpleNamespace(roles=(name,))) for name in ROLES}
        self.link = Conditions()
        links: Any = {"broker": SimpleNamespace(conditions=self.link)}
        keepers: Any = {"role": RoleKeeper(roles, home, self.clock), "link": LinkKeeper(links, self.clock)}
        self.faults = Faults(
            keepers, self.clock, SeededIds(self.clock, 1), lambda notice: self.told.append(notice.message)
        )

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
        for process in ("settlement", "worker"):
            await bench.put(process, LATE, seed)
        seen.append((bench.strikes("settlement"), bench.strikes("worker")))
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
        await bench.put("worker", LATE, seed)
    assert bench.faults.active() == []


@pytest.mark.parametrize(
    ("target", "fault", "there"),
    [
        ("api", "chain.rate_limited", "relayer"), ("meter", "broker.late", "settlement, worker"),
        ("worker", "store.delay", "api, outbox, settlement, relayer"),
        ("settlement", "broker.lose_acks", "api, outbox, worker"),
        ("broker", "clock.skew", "api, outbox, settlement, relayer, meter, worker"),
    ],
    ids=lambda given: given,
)  # fmt: skip
async def test_a_fault_that_can_do_nothing_to_a_process_is_refused_with_where_it_can(
    bench: Bench, target: str, fault: str, there: str
) -> None:
    with pytest.raises(Problem, match=f"{fault} cannot be done to {target}; it can be done to {there}\\.$"):
        await bench.faults.inject(FaultRequest(target, fault, {}, 60))
    assert bench.faults.active() == []


def test_who_uses_the_store_is_said_as_the_platform_says_it() -> None:
    assert catalogue.STORING == platform.STORING


def test_a_process_of_several_roles_takes_what_any_of_them_takes(tmp_path: Path) -> None:
    hosts: Any = {name: SimpleNamespace(spec=SimpleNamespace(roles=roles)) for name, roles in (
        ("api", ("api", "outbox")), ("backend", ("settlement", "relayer", "meter", "worker")), ("worker-2", ("worker",))
    )}  # fmt: skip
    keeper = RoleKeeper(hosts, tmp_path, SystemClock())
    assert keeper.targets(KINDS["chain.fee_spike"]) == ["backend"]
    assert keeper.targets(KINDS["broker.duplicate"]) == ["backend", "worker-2"]
    assert keeper.targets(KINDS["store.page_limit"]) == ["api", "backend"]
    assert keeper.targets(KINDS["memory.ballast"]) == ["api", "backend", "worker-2"]


def _ballast_of(bench: Bench, held_mb: float, *, full: bool) -> None:
    """The API says what it holds for the fault that is active there."""
    (fault,) = bench.faults.active()
    teller(bench.home, "api", lambda *_, **__: None)(Told(fault.id, held_mb, 210, 256, full))


async def test_ballast_says_in_the_fault_and_at_its_end_how_much_it_holds(bench: Bench) -> None:
    beginning = asyncio.create_task(bench.faults.inject(FaultRequest("api", BALLAST, {}, 60)))
    await eventually(lambda: bool(read_faults(bench.home, "api")))
    _ballast_of(bench, 8, full=False)
    await beginning
    (fault,) = bench.faults.active()
    assert fault.held_mb == 8
    _ballast_of(bench, 24, full=True)
    await eventually(lambda: fault.held_mb == 24)
    await bench.faults.heal_all()
    assert bench.told[-1] == "healed: memory.ballast, which held 24 MB"


async def test_ballast_for_which_there_is_no_room_is_refused_in_words(bench: Bench) -> None:
    beginning = asyncio.create_task(bench.faults.inject(FaultRequest("api", BALLAST, {}, 60)))
    await eventually(lambda: bool(read_faults(bench.home, "api")))
    _ballast_of(bench, 0, full=True)
    with pytest.raises(Problem, match="api has 210 MB of 256 already: no room for ballast up to 80%"):
        await beginning
    assert (bench.faults.active(), read_faults(bench.home, "api")) == ([], [])


async def test_ballast_of_which_a_process_says_nothing_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faultkeepers, "THERE_WITHIN_S", 0.05)
    with pytest.raises(Problem, match="api did not say"):
        await bench.faults.inject(FaultRequest("api", BALLAST, {}, 60))
    assert bench.faults.active() == []


class Slow:
    """A keeper whose faults take a while to begin."""

    def __init__(self) -> None:
        self.broken, self.may = False, asyncio.Event()

    def targets(self, kind: Kind) -> list[str]:
        return ["store"]

    async def begin(self, fault: Fault) -> None:
        await self.may.wait()
        self.broken = True

    async def end(self, fault: Fault, others: list[Fault]) -> None:
        self.broken = False


@pytest.mark.parametrize("lease_s", [0.2, 60.0], ids=["by its lease", "by request"])
async def test_what_is_healed_while_it_still_begins_is_whole_afterwards(lease_s: float) -> None:
    clock, keeper = SystemClock(), Slow()
    faults = Faults({"store": keeper}, clock, SeededIds(clock, 1), lambda notice: None)
    beginning = asyncio.create_task(faults.inject(FaultRequest("store", "store.lock", lease_s=lease_s)))
    await eventually(lambda: bool(faults.active()))
    if lease_s > 1:
        assert await faults.heal_all() == 1
    await eventually(lambda: not faults.active())
    keeper.may.set()
    await beginning
    assert not keeper.broken
    await faults.stop()


class Process:
    """A child that only remembers what was done to it."""

    def __init__(self) -> None:
        self.spec = SimpleNamespace(name="broker")
        self.signals: list[int] = []
        self.held = False

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


def _fault(id: str, fault: str, **params: float) -> Fault:
    return Fault(id, "broker", fault, 60_000, params)


@pytest.mark.parametrize(
    ("other", "held"),
    [
        (_fault("b", "kill", every_s=0), True), (_fault("b", "kill", every_s=5), False),
        (_fault("b", "broker.cut_tail", bytes=1), True), (_fault("b", "stop"), False),
    ],
    ids=["killed and held", "killed again and again", "its tail is cut", "stopped"],
)  # fmt: skip
async def test_a_process_stays_down_as_long_as_any_fault_holds_it(tmp_path: Path, other: Fault, held: bool) -> None:
    child: Any = Process()
    run: Any = None
    clock = SystemClock()
    for keeper, ending in (
        (ProcessKeeper({"broker": child}, clock), _fault("a", "kill", every_s=0)),
        (BrokerKeeper(child, tmp_path, run, clock), _fault("a", "broker.cut_tail", bytes=1)),
    ):
        child.hold()
        await keeper.end(ending, [other])
        assert child.held == held
        await keeper.end(ending, [])
        assert not child.held


def test_a_process_that_is_stopped_stands_still_though_it_is_throttled_too() -> None:
    async def run() -> None:
        child, clock = Process(), VirtualClock(0)
        children: Any = {"broker": child}
        keeper = ProcessKeeper(children, clock)
        throttle, stop = _fault("a", "throttle", stopped_ms=50, period_ms=100), _fault("b", "stop")
        await keeper.begin(throttle)
        await keeper.begin(stop)
        await clock.sleep(1)
        assert signal.SIGCONT not in child.signals
        await keeper.end(stop, [throttle])
        await clock.sleep(1)
        assert child.signals.count(signal.SIGCONT) > 5
        await keeper.end(throttle, [])
        assert child.signals[-1] == signal.SIGCONT

    run_virtual(run())


def test_a_request_that_is_no_text_is_refused() -> None:
    with pytest.raises(Problem, match="utf-8"):
        _parse(b'{"target": "\xff", "fault": "kill"}')
