"""Scenarios: those that are shipped, what one may change of them, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.unit.zjops.load.made import scenario
from zjops.domain.errors import UsageError
from zjops.load.knee import CLOSE, Search
from zjops.load.scenario import changed, find, parse, shipped
from zjops.load.thresholds import parse as parse_threshold

HEAD = 'name = "x"\ntext = "y"\n'
PHASE = '[[phases]]\nname = "p"\nduration_s = 1\n'


def test_the_shipped_ones_are_those_that_were_asked_for() -> None:
    assert set(shipped()) == {
        "smoke",
        "chaos",
        "sustained",
        "burst",
        "design",
        "soak",
        "throughput",
        "knee",
        "overload",
        "neighbour",
    }
    assert all(name == found.name for name, found in shipped().items())


def test_their_rates_and_lengths() -> None:
    known = shipped()
    assert [(p.rate, p.duration_s) for p in known["sustained"].phases if not p.warmup] == [(1_000, 300)]
    burst = {phase.name: phase for phase in known["burst"].phases}
    assert (burst["burst"].rate, burst["burst"].duration_s, burst["base"].rate) == (5_000, 10, 500)
    assert [(p.last_rate, p.duration_s) for p in known["design"].phases] == [
        (100, 120),
        (1_000, 300),
        (5_000, 60),
        (1, 120),
    ]
    assert sum(p.duration_s for p in known["soak"].phases if not p.warmup) == 3_600
    assert (known["throughput"].model, known["throughput"].bulk, known["throughput"].duration_s) == ("closed", 100, 60)


def test_their_bars() -> None:
    known = shipped()
    assert {"p(50)<10", "p(95)<25", "p(99)<50", "final:p(95)<15000"} <= set(known["sustained"].thresholds)
    (burst,) = (phase for phase in known["burst"].phases if phase.name == "burst")
    assert set(burst.thresholds) == {"p(50)<25", "p(99)<200", "accepted>=99.9%"}
    assert "final_within_s<60" in known["burst"].thresholds
    assert "jobs_per_s>=2500" in known["throughput"].thresholds
    (beside,) = (phase for phase in known["neighbour"].phases if phase.flood)
    assert beside.thresholds == ("submit:raised(99)<=1.5",)


def test_another_rate_and_length_keep_the_proportions() -> None:
    found = changed(find("burst"), duration_s=20, rate=1_000, arrivals="fixed")
    assert found.duration_s == pytest.approx(20)
    assert [phase.rate for phase in found.phases] == pytest.approx([100, 100, 1_000, 100])
    assert found.arrivals == "fixed"
    assert changed(find("design"), rate=500).phases[0].to == pytest.approx(10)


def test_a_closed_loop_has_no_rate() -> None:
    with pytest.raises(UsageError, match="has no rate"):
        changed(find("throughput"), rate=5)


def test_it_survives_the_way_to_the_generator(tmp_path: Path) -> None:
    file = tmp_path / "scenario.json"
    for one in shipped().values():
        file.write_bytes(msgspec.json.encode(one))
        assert find(str(file)) == one


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = ", "x.toml: "), (HEAD, "missing required field `phases`"), (HEAD + "phases = []", "phases"),
        (HEAD + PHASE + "speed = 5", "unknown field `speed`"), (HEAD + PHASE + "rate = 0", r"phases\[0\].rate"),
        (HEAD + PHASE + "warmup = true", "every phase is a warm-up"), (HEAD + PHASE + PHASE, "p stands there twice"),
        (HEAD + "mix = { dance = 1 }\n" + PHASE, "mix"), (HEAD + "mix = { submit = 0 }\n" + PHASE, "a weight above 0"),
        (HEAD + "connections = 0\n" + PHASE, "connections"), (HEAD + "timeout_s = -1\n" + PHASE, "timeout_s"),
    ],
)  # fmt: skip
def test_what_is_no_scenario_is_refused_with_its_place(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(text, "x.toml")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="there is no scenario brust; there are burst, chaos, design"):
        find("brust")
    with pytest.raises(UsageError, match="cannot be read"):
        find("nowhere.toml")


@pytest.mark.parametrize("truth", [3.0, 120.0, 777.0, 4_999.0])
def test_a_search_finds_the_knee(truth: float) -> None:
    search, asked = Search(500, 5_000), []
    while (rate := search.rate) is not None:
        asked.append(rate)
        search.tell(rate <= truth)
    assert search.held is not None
    assert search.held <= truth < search.held * CLOSE
    assert len(asked) < 20


def test_a_search_ends_where_it_may_go_no_further() -> None:
    search = Search(500, 2_000)
    while search.rate is not None:
        search.tell(True)
    assert (search.held, search.broke) == (2_000, None)


def test_a_search_that_never_holds_ends() -> None:
    search = Search(500, 2_000)
    while search.rate is not None:
        search.tell(False)
    assert search.held is None


def test_a_search_has_one_phase_that_counts() -> None:
    two = "search_to = 5\n" + PHASE + PHASE.replace('"p"', '"q"')
    with pytest.raises(UsageError, match="one phase that counts"):
        parse(HEAD + two, "x.toml")
    assert scenario().search_to is None


def test_the_scenario_of_the_guide_is_one() -> None:
    guide = (Path(__file__).parents[4] / "loadtests" / "README.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    found = parse(example, "README.md")
    for text in found.thresholds:
        assert parse_threshold(text).text == text
    for text in (one for phase in found.phases for one in phase.thresholds):
        assert parse_threshold(text, 1).text == text


def test_a_flood_is_part_of_the_rate_and_scales_with_it() -> None:
    asked = parse(HEAD + PHASE + "rate = 10\nflood = 90\n", "x.toml")
    assert (asked.rate, asked.flooded, asked.phases[0].arrivals) == (100, True, 100)
    slower = changed(asked, rate=50)
    assert (slower.phases[0].rate, slower.phases[0].flood) == (5, 45)
    with pytest.raises(UsageError, match="flood: only in the open model"):
        parse(HEAD + 'model = "closed"\n' + PHASE + "flood = 90\n", "x.toml")
