"""`:break` and `0`: what can be broken is listed by its symptom, put on with a lease, and healed by one key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from textual.widgets import OptionList, Static

from tests.tui.conftest import Make
from zjops.chaos.experiments import experiments
from zjops.domain.errors import UnreachableError
from zjops.tui.app import TopApp
from zjops.tui.breaking import LEASE_S, BreakScreen, choices


class ToldControl:
    """A control API that notes what it is asked."""

    def __init__(self, *targets: str) -> None:
        self.targets = targets or ("api", "worker", "relayer", "settlement", "chain")
        self.put: list[tuple[str, str, float | None, dict[str, float]]] = []
        self.healed = 0

    def faults(self) -> dict[str, Any]:
        names = {step.fault for one in choices() for step in one.steps}
        links = ("link.delay", "link.hold", "link.reset", "link.cut")
        return {"kinds": [{"fault": n, "targets": [] if n in links else list(self.targets)} for n in names]}

    def fault(
        self, target: str, fault: str, lease_s: float | None = None, params: Mapping[str, float] | None = None
    ) -> str:
        self.put.append((target, fault, lease_s, dict(params or {})))
        return "id"

    def heal_all(self) -> int:
        self.healed += 1
        return len(self.put)


def live(make: Make, control: ToldControl | None, **more: Any) -> TopApp:
    @contextmanager
    def opened() -> Iterator[Any]:
        yield control

    return make(at_ms=None, **({"control": opened if control else None} | more))


async def _said(app: TopApp, text: str, pilot: Any) -> bool:
    for _ in range(100):
        if text in str(app._footer.content):
            return True
        await pilot.pause(0.02)
    return False


async def test_an_experiment_is_chosen_by_its_symptom_and_put_on_for_a_while(make: Make) -> None:
    control = ToldControl()
    app = live(make, control)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"break", "enter")
        screen = app.screen
        assert isinstance(screen, BreakScreen)
        names = [one.name for one in screen._found]
        await pilot.press("j", "k", *["j"] * names.index("store-slow"), "enter")
        assert await _said(app, "Every call of the store takes 300 ms: 1 fault for 30 s; 0 heals", pilot)
        assert control.put == [("api", "store.delay", LEASE_S, {"ms": 300, "jitter_ms": 50})]
        await pilot.press("0")
        assert await _said(app, "1 fault ended", pilot)
        assert control.healed == 1


async def test_every_experiment_is_listed_and_what_holds_no_fault_by_its_command(make: Make) -> None:
    control = ToldControl()
    app = live(make, control)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("colon", *"break", "enter")
        assert {one.name for one in choices()} == set(experiments())
        shown = [str(app.screen.query_one(OptionList).get_option(one.name).prompt) for one in choices()]
        assert {text.split()[-2] for text in shown if text.endswith(" *")} == {
            "key-rotation", "poison-job", "reorg", "webhook-fails", "webhook-hangs",
        }  # fmt: skip
        names = [one.name for one in choices()]
        await pilot.press(*["j"] * names.index("webhook-hangs"))
        about = str(app.screen.query_one("#break-about", Static).content)
        assert about.endswith("* Run it with: zjops chaos run webhook-hangs")
        await pilot.press("enter")
        assert await _said(app, "webhook-hangs is no fault that can be held; run it with: zjops chaos run", pilot)
        assert control.put == []


async def test_leaving_the_list_breaks_nothing(make: Make) -> None:
    control = ToldControl()
    app = live(make, control)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"break", "enter")
        await pilot.press("escape")
        assert not isinstance(app.screen, BreakScreen)
        assert control.put == []


async def test_one_is_broken_by_its_name(make: Make) -> None:
    control = ToldControl()
    app = live(make, control)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"break kill-worker", "enter")
        assert await _said(app, "One process is killed and held down: 1 fault", pilot)
        assert control.put == [("worker", "kill", LEASE_S, {})]


@pytest.mark.parametrize(
    ("typed", "control", "more", "said"),
    [
        ("break api-latency", ToldControl(), {}, "api-latency needs proxies before its parts"),
        ("break kill-meter", ToldControl("api"), {}, "kill-meter needs a process meter (zjops up --spread)"),
        ("break reorg", ToldControl(), {}, "run it with: zjops chaos run reorg"),
        ("break nothing", ToldControl(), {}, "there is no experiment nothing; :break lists them"),
        ("break", None, {}, "only a platform of this machine can be broken"),
        ("break", ToldControl(), {"read_only": "this terminal only reads"}, "this terminal only reads"),
        ("break", ToldControl(), {"replayed": 1.0}, "nothing can be broken in a recording"),
    ],
    ids=["no proxies", "no such process", "at one stroke", "unknown", "elsewhere", "read-only", "a recording"],
)
async def test_what_cannot_be_broken_says_why(
    make: Make, typed: str, control: ToldControl | None, more: dict[str, Any], said: str
) -> None:
    app = live(make, control, **more)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("colon", *typed, "enter")
        assert await _said(app, said, pilot)
        assert control is None or control.put == []


async def test_a_supervisor_that_is_away_is_said_in_a_line(make: Make) -> None:
    @contextmanager
    def gone() -> Iterator[Any]:
        raise UnreachableError("nothing answers at the control API")
        yield

    app = make(at_ms=None, control=gone)
    async with app.run_test(size=(120, 24)) as pilot:
        await pilot.press("0")
        assert await _said(app, "nothing answers at the control API", pilot)
