"""First breach: what begins to be wrong, and nothing that only goes on; by the rules of the overview."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.tui.world import AWAY_S, END, PAUSED_S, SECONDS, World
from tests.unit.zjops.recording.told import START, answered, life, recorded
from zjops.feed.budgets import BUDGETS, Budget, BudgetsSeen
from zjops.recording.changes import Changes
from zjops.recording.reader import Recording
from zjops.recording.rows import Outage
from zjops.tui.breaches import Breach, Choice, breaches, choose, of_budgets, of_looks, of_outages, told
from zjops.tui.failing import Look, Sums, looks
from zjops.tui.health import Level
from zjops.tui.moment import Instant
from zjops.tui.pipeline import facts_of, stages_of

AT = Instant(600_000, 300, live=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    path = tmp_path_factory.mktemp("breaches") / "world.zjrec"
    World(path).write()
    return Recording(path)


@pytest.mark.parametrize("window_s", [60, 300, 3_600])
def test_a_stage_fails_when_the_overview_says_so(world: Recording, window_s: int) -> None:
    """Second by second, except where its source is away, when the overview says only that."""
    seen = {look.at_ms: look for look in looks(world, END, window_s)}
    assert len(seen) >= SECONDS
    compared, failing = 0, set[str]()
    for at_ms in range(START + 1_000, END, 7_000):
        stages = stages_of(facts_of(world, Instant(at_ms, window_s, live=False)))
        known = {stage.name: stage.health.level for stage in stages if stage.health.level is not Level.STALE}
        assert {name for name, level in known.items() if level is Level.FAILING} == seen[at_ms].failing & known.keys()
        assert seen[at_ms].unknown == {stage.name for stage in stages} - known.keys()
        compared += len(known)
        failing |= seen[at_ms].failing
    assert compared > 400
    assert {"gateway", "relayer"} <= failing


def test_everything_that_went_wrong_in_the_world_is_told_in_order(world: Recording) -> None:
    found = breaches(world, END, 300)
    words = [(one.at_ms - START, what) for one in found for what in one.what]
    assert (AWAY_S * 1000, "API away: Connection refused") in words
    assert (PAUSED_S * 1000, "relayer failing") in words
    assert [at for at, _ in words] == sorted(at for at, _ in words)
    assert breaches(world, START + AWAY_S * 1000 - 1, 300) == [
        one for one in found if one.at_ms < START + AWAY_S * 1000
    ]


def test_the_words_say_why(world: Recording) -> None:
    found = breaches(world, END, 300)
    place = next(index for index, one in enumerate(found) if one.at_ms == START + PAUSED_S * 1000)
    text = told(world, Choice(found[place], place + 1, len(found)), 300)
    assert text == (
        f"breach {place + 1} of {len(found)}: relayer failing: the relayer is paused by an operator · 08:08:00Z"
    )
    assert told(world, Choice(found[0], 1, 4), 300).startswith("first breach of 4: gateway failing: ")
    assert told(world, Choice(None, 0, 0), 300) == "no breach in what is recorded"
    assert told(world, Choice(None, 0, 3), 300) == "no later breach in what is recorded"


def _look(at_ms: int, failing: str = "", unknown: str = "") -> Look:
    return Look(at_ms, frozenset(failing.split()), frozenset(unknown.split()))


def test_what_was_so_at_the_beginning_did_not_begin() -> None:
    series = [_look(1, "queue"), _look(2, "queue"), _look(3), _look(4, "queue chain"), _look(5, "queue chain")]
    assert list(of_looks(series)) == [(4, "chain failing"), (4, "queue failing")]


def test_a_stage_of_which_nothing_is_known_is_as_it_was() -> None:
    series = [_look(1), _look(2, "queue", "queue"), _look(3, "queue"), _look(4, "", "queue"), _look(5, "queue")]
    assert list(of_looks(series)) == [(3, "queue failing")]


def test_sources_that_went_away() -> None:
    spans = [(Outage("API", 5, "refused"), 9), (Outage("supervisor", 6, "x"), None), (Outage("chain", 1, "y"), None)]
    assert list(of_outages(spans, 1)) == [(5, "API away: refused")]


def test_alerts_that_begin_and_budgets_that_are_spent() -> None:
    def seen(alert: str | None, bad: int) -> BudgetsSeen:
        return BudgetsSeen(0, [Budget("availability", "pro", 999_000, 10_000, bad, 60, alert=alert)])

    series = [
        (1, seen(None, 0)), (2, seen("TICKET 1x 3d", 5)), (3, BudgetsSeen(0, why="no log")),
        (4, seen("TICKET 3x 1d", 9)), (5, seen("PAGE 14.4x 1h", 10)), (6, seen("TICKET 3x 1d", 10)),
        (7, seen(None, 11)), (8, seen("PAGE 14.4x 1h", 11)),
    ]  # fmt: skip
    name = "availability of plan pro"
    assert list(of_budgets(series)) == [
        (2, f"{name} burns (TICKET 1x 3d)"), (5, f"{name} burns (PAGE 14.4x 1h)"), (7, f"{name}: budget spent"),
        (8, f"{name} burns (PAGE 14.4x 1h)"),
    ]  # fmt: skip
    assert list(of_budgets([(1, seen("PAGE 14.4x 1h", 99))])) == []


@pytest.mark.parametrize(
    ("moments", "standing", "wanted"),
    [
        ((400_000, 500_000), False, 400_000), ((100_000, 299_999, 400_000), False, 400_000),
        ((100_000, 300_000), False, 100_000), ((700_000,), False, 700_000), ((), False, None),
        ((100_000, 600_000, 700_000), True, 700_000), ((600_000,), True, None),
    ],
    ids=[
        "the first of the window", "what was before the window comes later", "a window begins after its first moment",
        "of a recording that is played, also what comes", "none", "the next, where one stands on one", "no later one",
    ],
)  # fmt: skip
def test_which_one_is_gone_to(moments: tuple[int, ...], standing: bool, wanted: int | None) -> None:
    choice = choose([Breach(at_ms, ("x",)) for at_ms in moments], AT, standing)
    assert (choice.breach.at_ms if choice.breach else None, choice.among) == (wanted, len(moments))
    assert choice.number == (0 if wanted is None else moments.index(wanted) + 1)


def test_sums_are_those_of_the_seconds_before() -> None:
    sums = Sums([(10, 1, 0), (11, 2, 1), (15, 4, 2)], 5)
    assert [sums.before(second) for second in (10, 11, 12, 15, 16, 17, 30)] == [
        (0, 0), (1, 0), (3, 1), (3, 1), (6, 3), (4, 2), (0, 0)
    ]  # fmt: skip


def test_an_event_log_alone_is_enough(tmp_path: Path) -> None:
    """No depth, no reading: answers and ended jobs tell."""
    changes = Changes()
    for second in range(30):
        answered(changes, START // 1000 + second, count=50)
    answered(changes, START // 1000 + 20, status=503, count=40)
    for number in range(40):
        at = START + 25_000
        life(changes, number, accepted=at, started=at, ended=at, outcome="failed" if number < 3 else "completed")
    recording = recorded(tmp_path, [changes], START)
    found = breaches(recording, START + 40_000, 60)
    assert [(one.at_ms - START, one.what) for one in found] == [
        (21_000, ("gateway failing",)), (26_000, ("workers failing",))
    ]  # fmt: skip


def test_budgets_are_read_from_the_recording(tmp_path: Path) -> None:
    changes = Changes()
    answered(changes, START // 1000)
    for at_ms, alert in ((START, None), (START + 60_000, "PAGE 14.4x 1h")):
        seen = BudgetsSeen(0, [Budget("start", "all", 990_000, 100, 0, 60, alert=alert)])
        changes.readings.append((BUDGETS, at_ms, msgspec.json.encode(seen).decode()))
    recording = recorded(tmp_path, [changes], START)
    assert breaches(recording, START + 90_000, 60) == [
        Breach(START + 60_000, ("start of plan all burns (PAGE 14.4x 1h)",))
    ]
