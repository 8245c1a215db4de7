"""Operators' acts in the terminal: what they are about, whether they may be done here, their run and how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.widgets import Input

from zjops.actions.acts import RELAYER_ACTS, Act
from zjops.actions.preview import Preview, look
from zjops.actions.targets import Aim, Aimed, take_aim
from zjops.domain.errors import UsageError, ZjopsError
from zjops.domain.wire_chain import RelayerView
from zjops.feed.readings import RELAYER
from zjops.tui.actscreen import ActScreen, fitted
from zjops.tui.ink import BAD, BOLD, Line
from zjops.tui.moment import Instant
from zjops.tui.screens import Over
from zjops.tui.station import Station

if TYPE_CHECKING:
    from zjops.actions.running import Report, Run
    from zjops.tui.app import TopApp

HOLD = "hold"
"""One key for the relayer: pause, or resume when it is paused."""
KEYS = (("ctrl+k", Act.CANCEL.value), ("a", Act.RETRY.value), ("w", Act.REDELIVER.value), ("h", HOLD))
BINDINGS: list[BindingType] = [Binding(key, f"act('{verb}')", verb, show=False) for key, verb in KEYS]
PALETTE = (
    (Act.CANCEL, "Act: cancel", "key Ctrl-K"), (Act.RETRY, "Act: retry dead letters", "key a"),
    (Act.REDELIVER, "Act: send failed webhooks again", "key w"), (Act.PAUSE, "Act: pause the relayer", "key h"),
    (Act.RESUME, "Act: resume the relayer", "key h"),
)  # fmt: skip
FILTER, DELIVERED, NAMED = "filter", "delivered", "job_"


def refusal(station: Station, instant: Instant) -> str | None:
    """Why nothing may be done here, in a line; None where it may."""
    if station.read_only is not None:
        return station.read_only
    if station.replayed is not None:
        return "nothing can be done to a recording; acts need the platform live: zjops top"
    if not station.local and not station.allow_actions:
        return f"{station.context} is not this machine's own: it is only read without zjops top --allow-actions"
    if station.operator is None:
        return f"context {station.context} has no operator credentials; add them to its entry"
    return None if instant.live else "frozen: acts are for now and not for the past; L goes live"


class Acting:
    """At most one act at a time; it runs in a thread, and the terminal goes on meanwhile."""

    def __init__(self, app: TopApp, say: Callable[[str], None]) -> None:
        self._app, self._say = app, say
        self._run: Run | None = None
        self._stopping = False
        self._ended: Report | None = None
        self._looking = 0

    def ask(self, verb: str, argument: str | None = None) -> None:
        """Show what an act would touch, and ask for its reason."""
        why = self._busy() or refusal(self._app.station, self._app.machine.instant)
        if why is None:
            try:
                self._ask(verb, (argument or "").split())
                return
            except UsageError as exc:
                why = str(exc)
        self._say(why)

    def _busy(self) -> str | None:
        return None if self._run is None else f"{self._run.act} still runs; Esc stops it"

    def _ask(self, verb: str, words: list[str]) -> None:
        act = self._held() if verb == HOLD else Act(verb)
        aim = Aim("the relayer") if act in RELAYER_ACTS else self._aim(words)
        screen = ActScreen(act, aim.words)
        self._looking += 1
        self._app.push_screen(screen, lambda reason: self._answered(act, screen.preview, reason))
        self._app.run_worker(self._look(screen, act, aim, DELIVERED in words), group="look")

    def _held(self) -> Act:
        found = self._app.station.recording.reading(RELAYER, self._app.machine.instant.at_ms, RelayerView)
        return Act.RESUME if found is not None and found[1].paused else Act.PAUSE

    def _aim(self, words: list[str]) -> Aim:
        """What is pointed at: jobs that are named, else what the view says. Raises `UsageError`."""
        named = tuple(word for word in words if word.startswith(NAMED))
        if named:
            return Aim("the jobs that are named", named)
        aim = self._app.view.aim(FILTER in words)
        if aim is None:
            raise UsageError("no job is chosen: choose one in the list (2), or mark some with Space")
        return aim

    async def _look(self, screen: ActScreen, act: Act, aim: Aim, delivered: bool) -> None:
        """Read and ask in a thread; what cannot be asked is told in the preview."""
        station, at_ms = self._app.station, self._app.machine.instant.at_ms

        def found() -> Preview:
            assert station.operator is not None
            with station.operator() as door:
                aimed = Aimed((), 0) if act in RELAYER_ACTS else take_aim(aim, station.recording, at_ms)
                return look(act, aimed, door, delivered=delivered)

        try:
            screen.put(await asyncio.to_thread(found))
        except ZjopsError as exc:
            screen.fail(str(exc))
        finally:
            self._looking -= 1

    def _answered(self, act: Act, preview: Preview | None, reason: str | None) -> None:
        """Begin, if that is what was said."""
        if reason is None or preview is None:
            self._say(f"{act}: nothing was done")
            return
        # It may have been frozen or begun elsewhere meanwhile.
        why = self._busy() or refusal(self._app.station, self._app.machine.instant)
        if why is not None:
            self._say(why)
            return
        # Only now: what speaks to a platform takes long to load.
        from zjops.actions.running import Run

        assert self._app.station.operator is not None
        self._run = Run(act, preview.items, reason, self._app.station.operator, self._app.clock)
        self._stopping = False
        self._app.view.unmark()
        self._app.run_worker(self._go(self._run), group="act")

    async def _go(self, run: Run) -> None:
        try:
            self._ended = await asyncio.to_thread(run.go)
        finally:
            self._run = None
        self.tick()

    def stop(self) -> bool:
        """Stop what runs; whether there was something to stop."""
        if self._run is None or self._stopping:
            return False
        self._stopping = True
        self._run.stop()
        self._say(f"{self._run.act} stops after the one that is on its way")
        return True

    @property
    def looks(self) -> bool:
        """Whether a preview is on its way."""
        return self._looking > 0

    @property
    def holds(self) -> str | None:
        """Why nobody should leave now."""
        return self._busy() if not self._stopping else None

    @property
    def line(self) -> str:
        """How far it is, for the footer."""
        if self._run is None:
            return ""
        from zjops.actions.running import progress

        return f"{progress(self._run.report)}; {'stopping' if self._stopping else 'Esc stops'}"

    def tick(self) -> None:
        """Tell how it went, as soon as that disturbs nobody who types or reads something else."""
        app = self._app
        if self._ended is None or len(app.screen_stack) > 1 or isinstance(app.focused, Input):
            return
        from zjops.actions.running import told

        report, self._ended = self._ended, None
        first, *more = told(report)
        rest = [part for line in more for part in fitted(line, app.size.width)]
        lines: list[Line] = [[(first, BOLD)], *([(line, BAD)] for line in rest)]
        app.push_screen(Over(lines, "how it went", rows=len(lines)))
        app.reload()

    def palette(self) -> Iterable[SystemCommand]:
        """What the palette offers."""
        for act, title, key in PALETTE:
            yield SystemCommand(title, key, lambda act=act: self.ask(act.value))
