"""From what was measured to a result: what the generator did wrong, and what is asked of the platform."""

from __future__ import annotations

import pytest

from tests.unit.zjops.load.made import run, steady, tick
from zjops.chaos.result import availability_ppm, flaws_before, moments, seconds_of
from zjops.chaos.run import lasting
from zjops.chaos.toolkit import Activity, Journal
from zjops.chaos.verdict import spent
from zjops.chaos.watching import Sample
from zjops.domain.errors import UsageError
from zjops.load.records import Tick
from zjops.load.scenario import find

BEGAN_MS, FAULT_MS = 1_000_000, 1_007_400


def _with(*changed: Tick) -> list[Tick]:
    return [one for one in steady() if one.second not in {tick.second for tick in changed}] + list(changed)


@pytest.mark.parametrize(
    ("ticks", "cpu", "said"),
    [
        (steady(), 0.3, []),
        (_with(tick(5, dropped=2)), 0.3, ["2 arrivals were dropped"]),
        (_with(tick(5, started=50)), 0.3, ["450 of 500 arrivals were sent in time"]),
        (_with(tick(5, lag={90_000: 100})), 0.3, ["the schedule's lag is 90.1 ms at p99, more than 60 ms"]),
        (steady(), 0.9, ["the generator took 90% of a core, more than 80%"]),
        (_with(tick(1, phase=0, dropped=9)), 0.3, []),
        (_with(tick(7, dropped=9), tick(9, dropped=9)), 0.3, []),
    ],
    ids=["all in time", "dropped", "not sent", "lag", "a whole core", "in the warm-up", "from the fault on"],
)
def test_the_load_s_own_gate_looks_at_the_seconds_before_the_fault(
    ticks: list[Tick], cpu: float, said: list[str]
) -> None:
    assert [flaw.text for flaw in flaws_before(run(*ticks, cpu=cpu), FAULT_MS)] == said


def test_what_the_generator_dropped_is_no_timeout_and_spends_nothing() -> None:
    found = seconds_of(run(*_with(tick(8, dropped=9, timeouts=1))))
    assert [(one.timeouts, one.dropped) for one in found if one.at_ms == BEGAN_MS + 8_000] == [(1, 9)]
    cost = spent(found, availability_ppm())
    assert (cost.bad, cost.total) == (1, 1_000 - 9)


def test_a_slow_second_at_the_end_is_over_once_it_has_been_calm_after_it() -> None:
    step = Activity("put the fault on", FAULT_MS, FAULT_MS + 100, True, None)
    journal = Journal(True, True, [step], "completed")
    samples = [Sample(FAULT_MS + 200, ("store.delay at api",)), Sample(FAULT_MS + 1_000)]
    slow = tick(10, times_ms=[900.0] * 100)

    def recovered_ms(last: int) -> int | None:
        ticks = [one for one in _with(slow) if one.second <= last]
        return moments(journal, run(*ticks), samples, BEGAN_MS).recovered_ms

    assert recovered_ms(10) is None
    assert recovered_ms(11) is None
    measured = run(*_with(slow), *(tick(second) for second in (12, 13)))
    assert moments(journal, measured, samples, BEGAN_MS).recovered_ms == BEGAN_MS + 11_000


def test_the_budget_is_that_of_the_objective_of_all_plans() -> None:
    assert availability_ppm() == 999_000


def test_the_load_lasts_at_its_highest_rate() -> None:
    design = find("design")
    load = lasting(design)
    assert [phase.rate for phase in load.phases] == [design.rate] * 2
    assert design.rate > next(phase.rate for phase in design.phases if not phase.warmup)
    assert lasting(load) == load


def test_a_load_without_a_rate_is_refused() -> None:
    with pytest.raises(UsageError, match="scenario throughput has no rate"):
        lasting(find("throughput"))
