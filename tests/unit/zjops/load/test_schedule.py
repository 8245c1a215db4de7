"""Arrivals: as many as the rate says, when it says, the same for everybody who has the seed."""

from __future__ import annotations

import heapq
import itertools
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.load.scenario import Arrivals, Phase
from zjops.load.schedule import Due, arrivals, share

rates = st.floats(0.5, 300)
phases = st.lists(
    st.builds(
        lambda rate, to, duration: Phase(name="p", duration_s=duration, rate=rate, to=to),
        rates, st.none() | rates, st.floats(0.5, 5),
    ),
    min_size=1, max_size=4,
)  # fmt: skip
kinds = st.sampled_from(("fixed", "poisson"))


def test_fixed_arrivals_are_even() -> None:
    found = list(arrivals([Phase(name="p", duration_s=2, rate=10)], "fixed", 1))
    assert [due.at_s for due in found] == pytest.approx([0.05 + 0.1 * number for number in range(20)])


def test_a_ramp_has_at_any_time_as_many_as_the_rates_integral() -> None:
    found = [due.at_s for due in arrivals([Phase(name="p", duration_s=10, rate=10, to=110)], "fixed", 1)]
    assert len(found) == 600
    for second in range(1, 11):
        assert sum(at < second for at in found) == pytest.approx(10 * second + 5 * second**2, abs=1)


def test_a_ramp_down_to_almost_nothing_ends_in_time() -> None:
    found = [due.at_s for due in arrivals([Phase(name="p", duration_s=10, rate=100, to=0.001)], "fixed", 1)]
    assert len(found) == 500
    assert found[-1] < 10


def test_poisson_arrivals_are_independent_of_each_other() -> None:
    found = [due.at_s for due in arrivals([Phase(name="p", duration_s=200, rate=50)], "poisson", 3)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert len(found) == pytest.approx(10_000, abs=5 * math.sqrt(10_000))
    assert spread == pytest.approx(mean, rel=0.05)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.02)
    neighbours = sum((one - mean) * (other - mean) for one, other in itertools.pairwise(gaps)) / len(gaps)
    assert abs(neighbours) < 0.05 * spread**2


@given(phases, kinds, st.integers(0, 1000), st.integers(1, 7))
def test_processes_share_one_series_whatever_their_number(
    given_phases: list[Phase], kind: Arrivals, seed: int, of: int
) -> None:
    whole = list(arrivals(given_phases, kind, seed))
    parts = [list(share(arrivals(given_phases, kind, seed), index, of)) for index in range(of)]
    assert list(heapq.merge(*parts)) == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(phases, kinds, st.integers(0, 1000))
def test_arrivals_come_in_order_and_lie_in_their_phases(given_phases: list[Phase], kind: Arrivals, seed: int) -> None:
    found = list(arrivals(given_phases, kind, seed))
    assert found == sorted(found)
    starts = list(itertools.accumulate((phase.duration_s for phase in given_phases), initial=0.0))
    assert all(starts[due.phase] - 1e-6 <= due.at_s <= starts[due.phase + 1] + 1e-6 for due in found)
    planned = sum(phase.arrivals for phase in given_phases)
    slack = 1 if kind == "fixed" else 6 * math.sqrt(planned) + 6
    assert abs(len(found) - planned) <= slack


def test_the_seed_decides_and_nothing_else() -> None:
    def series(seed: int) -> list[Due]:
        return list(arrivals([Phase(name="p", duration_s=5, rate=40)], "poisson", seed))

    assert series(7) == series(7)
    assert series(7) != series(8)


@pytest.mark.parametrize("kind", ["fixed", "poisson"])
def test_a_flood_comes_beside_the_others_and_changes_nothing_of_them(kind: Arrivals) -> None:
    calm = [Phase(name=name, duration_s=20, rate=50) for name in ("alone", "beside", "after")]
    flooded = [calm[0], msgspec.structs.replace(calm[1], flood=500.0), calm[2]]
    found = list(arrivals(flooded, kind, 5))
    assert [due.at_s for due in found] == sorted(due.at_s for due in found)
    assert [due for due in found if not due.flood] == list(arrivals(calm, kind, 5))
    flood = [due for due in found if due.flood]
    assert len(flood) == pytest.approx(10_000, abs=5 * math.sqrt(10_000))
    assert {due.phase for due in flood} == {1}
    assert all(20 <= due.at_s < 40 for due in flood)
