"""Which faults hold in a role process, and how it hears of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.faults.catalogue import KINDS, kind_of, params_of
from simulator.faults.inside import FaultyClock
from simulator.faults.switchboard import ActiveFault, FaultWatch, Switchboard, fault_file, forget_faults, write_faults
from zjops.domain.clock import ManualClock
from zjops.domain.errors import Problem


def test_a_fault_ends_by_its_lease_though_nobody_takes_it_back() -> None:
    clock = ManualClock(1_000)
    faults = Switchboard(clock)
    faults.replace([ActiveFault("a", "store.full", {}, 3_000)])
    assert faults.params("store.full") == {}
    assert not faults.idle
    clock.advance(2)
    assert faults.params("store.full") is None
    assert faults.idle


def test_a_share_strikes_about_as_often_as_it_says() -> None:
    faults = Switchboard(ManualClock(), seed=7)
    assert not faults.strikes("broker.late")
    faults.replace([ActiveFault("a", "broker.late", {"share": 0.25}, 1_000)])
    assert 400 < sum(faults.strikes("broker.late") for _ in range(2_000)) < 600


def _late(seed: str | None, id: str = "a") -> ActiveFault:
    return ActiveFault(id, "broker.late", {"share": 0.5}, 60_000, seed)


def _strikes(*faults: ActiveFault, count: int = 64) -> list[bool]:
    board = Switchboard(ManualClock())
    board.replace(faults)
    return [board.strikes("broker.late") for _ in range(count)]


def test_the_same_seed_strikes_the_same_calls_again_and_another_one_others() -> None:
    assert _strikes(_late("7 meter broker.late")) == _strikes(_late("7 meter broker.late", "b"))
    assert _strikes(_late("7 meter broker.late")) != _strikes(_late("8 meter broker.late"))
    assert _strikes(_late(None)) != _strikes(_late(None))


def test_a_seeded_fault_goes_on_where_it_was_whatever_else_begins_ends_and_strikes() -> None:
    seeded, other = _late("7"), ActiveFault("b", "broker.duplicate", {"share": 0.5}, 60_000, "9")
    board, struck = Switchboard(ManualClock()), list[bool]()
    for faults in ([seeded], [seeded, other], [seeded]):
        board.replace(faults)
        for _ in range(10):
            struck.append(board.strikes("broker.late"))
            board.strikes("broker.duplicate")
    assert struck == _strikes(seeded, count=30)


def test_the_newest_of_a_kind_holds_and_after_it_the_one_whose_lease_is_longer() -> None:
    clock = ManualClock(0)
    board = Switchboard(clock)
    board.replace(
        [ActiveFault("a", "store.delay", {"ms": 1}, 9_000), ActiveFault("b", "store.delay", {"ms": 2}, 3_000)]
    )
    assert board.params("store.delay") == {"ms": 2}
    clock.advance(4)
    assert board.params("store.delay") == {"ms": 1}
    clock.advance(6)
    assert board.params("store.delay") is None
    assert board.idle


def test_a_process_hears_of_what_is_written_for_it_and_of_its_end(tmp_path: Path) -> None:
    clock, told = ManualClock(0), list[bool]()
    faults = Switchboard(clock)
    watch = FaultWatch(faults, tmp_path, "api", clock)
    watch.also(lambda board: told.append(board.params("memory.ballast") is not None))
    watch.look()
    write_faults(tmp_path, "api", [ActiveFault("a", "memory.ballast", {"share": 0.8}, 60_000)])
    watch.look()
    write_faults(tmp_path, "meter", [ActiveFault("b", "store.full", {}, 60_000)])
    watch.look()
    assert faults.params("store.full") is None
    write_faults(tmp_path, "api", [])
    watch.look()
    watch.look()
    assert told == [False, True, True, False]


def test_faults_are_for_the_owner_alone_and_forgotten_at_the_next_start(tmp_path: Path) -> None:
    write_faults(tmp_path, "api", [ActiveFault("a", "store.full", {}, 60_000)])
    assert fault_file(tmp_path, "api").stat().st_mode & 0o777 == 0o600
    forget_faults(tmp_path)
    assert not fault_file(tmp_path, "api").exists()


def test_a_file_that_is_no_list_of_faults_is_no_fault(tmp_path: Path) -> None:
    clock = ManualClock(0)
    faults = Switchboard(clock)
    watch = FaultWatch(faults, tmp_path, "api", clock)
    fault_file(tmp_path, "api").parent.mkdir()
    fault_file(tmp_path, "api").write_text("{]")
    watch.look()
    assert faults.idle


def test_a_skewed_clock_is_wrong_by_what_was_said_and_ticks_as_before() -> None:
    clock = ManualClock(10_000)
    faults = Switchboard(clock)
    skewed = FaultyClock(clock, faults)
    faults.replace([ActiveFault("a", "clock.skew", {"seconds": -4}, 20_000)])
    assert (skewed.now_ms(), skewed.monotonic()) == (6_000, 10.0)
    clock.advance(10)
    assert skewed.now_ms() == 20_000


def test_what_is_not_given_is_as_usual() -> None:
    assert params_of(KINDS["store.delay"], {"ms": 5}) == {"ms": 5.0, "jitter_ms": 50.0}


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_is_usual_lies_in_its_own_bounds(kind: object) -> None:
    found = kind_of(kind.name)  # type: ignore[attr-defined]
    assert set(params_of(found, {})) == set(found.params)
    for name, param in found.params.items():
        with pytest.raises(Problem):
            params_of(found, {name: param.most + 1})
