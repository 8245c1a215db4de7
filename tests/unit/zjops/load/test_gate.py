"""The gate: when a measurement is trusted, and what a verdict is worth when it is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.zjops.load.made import run, scenario, steady, tick
from zjops.load.gate import Figures, Flaw, all_flaws, flaws, verdict
from zjops.load.scenario import Phase
from zjops.load.thresholds import Judged, parse

SOUND = Figures("main", offered=10_000, achieved=10_000, dropped=0, lag_p99_ms=5.0, cpu=0.5, tightest_ms=50.0)


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        pytest.param({}, [], id="everything was sent in time by a generator at rest"),
        pytest.param({"achieved": 9_990}, [], id="99.9 % of what was due is enough"),
        pytest.param({"achieved": 9_989}, ["load"], id="less than 99.9 % is not the load that was asked for"),
        pytest.param({"dropped": 1}, ["load"], id="a single dropped arrival is one too many"),
        pytest.param({"offered": 0, "achieved": 0}, ["load"], id="a phase with nothing in it shows nothing"),
        pytest.param({"lag_p99_ms": 10.0}, [], id="lag of a fifth of the tightest threshold may be"),
        pytest.param({"lag_p99_ms": 10.1}, ["speed"], id="more lag than that makes times longer than they were"),
        pytest.param({"lag_p99_ms": 10.1, "tightest_ms": 200.0}, [], id="a looser threshold bears more lag"),
        pytest.param({"lag_p99_ms": 10.1, "model": "closed"}, [], id="a closed loop has no schedule to lag behind"),
        pytest.param({"cpu": 0.8}, [], id="80 % of a core may be"),
        pytest.param({"cpu": 0.81}, ["speed"], id="a generator beyond 80 % of its core measures itself"),
        pytest.param({"cpu": None, "seconds": 0.9}, [], id="a phase too short to look at is not held against it"),
        pytest.param({"cpu": None, "seconds": 1.0}, ["speed"], id="a longer one is, where nobody looked"),
        pytest.param({"cpu": None, "seconds": 9.0, "model": "closed"}, [], id="a closed loop goes as fast as it can"),
        pytest.param({"achieved": 5_000, "lag_p99_ms": 900.0}, ["load", "speed"], id="both may be wrong"),
    ],
)  # fmt: skip
def test_a_phase_is_trusted_or_not(change: dict[str, Any], kinds: list[str]) -> None:
    assert [flaw.kind for flaw in flaws(SOUND._replace(**change))] == kinds


HELD, BROKE = Judged(parse("p(99)<200"), 100.0), Judged(parse("p(99)<200"), 300.0)
LATE = Judged(parse("final_within_s<60"), 90.0)
LAG, DROPPED = Flaw("main", "speed", "lag"), Flaw("main", "load", "dropped")


@pytest.mark.parametrize(
    ("judged", "found", "said"),
    [
        pytest.param([HELD], [], "pass", id="a trusted pass is a pass"),
        pytest.param([HELD, BROKE], [], "fail", id="a trusted fail is a fail"),
        pytest.param([HELD], [LAG], "pass", id="a pass with lag stands"),
        pytest.param([HELD, BROKE], [LAG], "not_trusted", id="a fail with lag cannot tell"),
        pytest.param([HELD], [DROPPED], "not_trusted", id="a pass under another load than asked for is none"),
        pytest.param([BROKE], [DROPPED], "not_trusted", id="nor is a fail"),
        pytest.param([LATE], [LAG], "fail", id="what became of the jobs owes nothing to the generator's lag"),
    ],
)  # fmt: skip
def test_a_verdict(judged: list[Judged], found: list[Flaw], said: str) -> None:
    assert verdict(judged, found) == said


@pytest.mark.parametrize("found", [[], [LAG], [DROPPED]], ids=["trusted", "with lag", "under another load"])
def test_an_audit_that_found_something_is_a_fail_whatever_else_held(found: list[Flaw]) -> None:
    assert verdict([HELD], found, proven=False) == "fail"
    assert verdict([HELD], found, proven=True) == verdict([HELD], found)


def test_each_phase_is_judged_by_itself() -> None:
    phases = (Phase(name="base", duration_s=5, rate=100), Phase(name="burst", duration_s=5, rate=100))
    ticks = [tick(second, phase=0) for second in range(5)]
    ticks += [tick(second, phase=1, late=3) for second in range(5, 10)]
    found = all_flaws(run(*ticks, of=scenario(phases=phases)), [])
    assert [(flaw.phase, flaw.kind) for flaw in found] == [("burst", "load")]
    assert found[0].text == "485 of 500 arrivals were sent in time"


def test_a_busy_generator_is_found_by_its_processor_time() -> None:
    assert all_flaws(run(*steady(), cpu=0.79), []) == []
    (flaw,) = all_flaws(run(*steady(), cpu=0.9), [])
    assert (flaw.kind, "90% of a core" in flaw.text) == ("speed", True)


def test_a_generator_whose_processor_nobody_looked_at_is_not_trusted() -> None:
    measured = run(*steady())
    measured.cpu.clear()
    (flaw,) = all_flaws(measured, [])
    assert flaw == ("main", "speed", "nobody looked at the generator's processor")


def test_the_warm_up_is_not_asked() -> None:
    ticks = [tick(second, phase=0, dropped=50, late=50) for second in range(2)]
    assert all_flaws(run(*ticks, *steady()[2:]), []) == []


def test_a_run_that_ended_in_its_warm_up_shows_nothing() -> None:
    asked = scenario(phases=(Phase(name="warm-up", duration_s=50, rate=1, warmup=True), *scenario().phases[1:]))
    measured = run(of=asked)
    measured.tails.clear()
    measured.cpu = measured.cpu[:20]
    assert [flaw.text for flaw in all_flaws(measured, [])] == ["no phase that counts has begun"]
