"""Breaking things on purpose from the terminal: experiments by their symptom, put on for a while, and all healed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from zjops.domain.errors import UsageError, ZjopsError
from zjops.tui.moment import Instant
from zjops.tui.station import Station

if TYPE_CHECKING:
    from zjops.chaos.experiments import Experiment
    from zjops.client.control import Control
    from zjops.tui.app import TopApp

LEASE_S = 30.0
BINDINGS: list[BindingType] = [Binding("0", "heal", "heal", show=False)]


def refusal(station: Station, instant: Instant) -> str | None:
    """Why nothing may be broken here, in a line; None where it may."""
    if station.read_only is not None:
        return station.read_only
    if station.replayed is not None:
        return "nothing can be broken in a recording"
    if station.control is None:
        return "only a platform of this machine can be broken, by the control API of its supervisor"
    return None if instant.live else "frozen: what is broken is broken now; L goes live"


def choices() -> list[Experiment]:
    """All experiments, by what is seen of them."""
    # Only now: it reads a few dozen files of YAML.
    from zjops.chaos.experiments import experiments

    return sorted(experiments().values(), key=lambda one: (one.symptom, one.name))


def command(one: Experiment) -> str | None:
    """What runs an experiment that holds no fault for a while but does something at one stroke; None for others."""
    return None if one.steps else f"zjops chaos run {one.name}"


def put_on(experiment: Experiment, control: Control) -> int:
    """Begin the faults of an experiment for a while; returns at how many parts. Raises `UsageError`, `Problem`."""
    there = {kind["fault"]: kind["targets"] for kind in control.faults()["kinds"]}
    put = 0
    for step in experiment.steps:
        for target in [target for target in step.targets if target in there.get(step.fault, ())]:
            control.fault(target, step.fault, LEASE_S, step.params)
            put += 1
    if not put:
        needs = "proxies before its parts (zjops up --set proxies=true)" if "proxies" in experiment.needs else (
            f"a process {', '.join(experiment.steps[0].targets)} (zjops up --spread)"
        )  # fmt: skip
        raise UsageError(f"{experiment.name} needs {needs}")
    return put


def _faults(number: int) -> str:
    return "1 fault" if number == 1 else f"{number} faults"


class BreakScreen(ModalScreen["Experiment | None"]):
    """The experiments by symptom; ends with the one that is to be put on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "leave", show=False), Binding("j", "move(1)", "down", show=False),
        Binding("k", "move(-1)", "up", show=False),
    ]  # fmt: skip

    def __init__(self, found: Sequence[Experiment]) -> None:
        super().__init__(name="break")
        self._found = found

    def compose(self) -> ComposeResult:
        width = max(len(one.symptom) for one in self._found)
        options = [
            Option(f"{one.symptom:<{width}}  {one.name}{'' if command(one) is None else ' *'}", id=one.name)
            for one in self._found
        ]
        frame = Vertical(OptionList(*options, id="break-list", markup=False), Static(id="break-about"), id="break")
        frame.border_title = "break: what shall be seen?"
        frame.border_subtitle = f"Enter breaks it for {LEASE_S:.0f} s, Esc leaves"
        yield frame

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    def _of(self, name: str | None) -> Experiment:
        return next(one for one in self._found if one.name == name)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what it does."""
        one = self._of(event.option.id)
        run = command(one)
        apart = "" if run is None else f" * Run it with: {run}"
        self.query_one("#break-about", Static).update(f"{one.title}. {one.description}{apart}")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """That one."""
        self.dismiss(self._of(event.option.id))

    def action_move(self, by: int) -> None:
        """Up or down."""
        choice = self.query_one(OptionList)
        (choice.action_cursor_down if by > 0 else choice.action_cursor_up)()

    def action_leave(self) -> None:
        """None."""
        self.dismiss(None)


class Breaking:
    """Puts faults on and takes them off, in a thread; the supervisor keeps the leases."""

    def __init__(self, app: TopApp, say: Callable[[str], None]) -> None:
        self._app, self._say = app, say

    def ask(self, name: str | None = None) -> None:
        """Show what can be broken, or break what is named."""
        why = refusal(self._app.station, self._app.machine.instant)
        if why is not None:
            self._say(why)
            return
        try:
            found = choices()
        except UsageError as exc:
            self._say(str(exc))
            return
        if name is None:
            self._app.push_screen(BreakScreen(found), self._chosen)
            return
        named = next((one for one in found if one.name == name), None)
        if named is None:
            self._say(f"there is no experiment {name}; :break lists them")
        else:
            self._chosen(named)

    def _chosen(self, one: Experiment | None) -> None:
        if one is None:
            return
        run = command(one)
        if run is not None:
            self._say(f"{one.name} is no fault that can be held; run it with: {run}")
        else:
            self._run(lambda control: f"{one.title}: {_faults(put_on(one, control))} for {LEASE_S:.0f} s; 0 heals")

    def heal(self) -> None:
        """End every fault."""
        why = refusal(self._app.station, self._app.machine.instant)
        if why is not None:
            self._say(why)
            return
        self._run(lambda control: f"{_faults(control.heal_all())} ended")

    def _run(self, act: Callable[[Control], str]) -> None:
        self._app.run_worker(self._do(act), group="break")

    async def _do(self, act: Callable[[Control], str]) -> None:
        def done() -> str:
            assert self._app.station.control is not None
            with self._app.station.control() as control:
                return act(control)

        try:
            self._say(await asyncio.to_thread(done))
        except ZjopsError as exc:
            self._say(str(exc))
