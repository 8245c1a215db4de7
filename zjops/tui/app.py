"""`zjops top` as a Textual application: it owns the moment and the views; the feed posts, panels draw."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Input, Static

from zjops.domain.clock import Clock
from zjops.domain.errors import UsageError, ZjopsError
from zjops.feed.feed import Feed
from zjops.feed.messages import Pulse
from zjops.tui import acting, breaking, commands, keys, themes
from zjops.tui.commandline import CommandLine
from zjops.tui.header import footer, header
from zjops.tui.ink import content
from zjops.tui.moment import Instant, TimeMachine
from zjops.tui.palette import system_commands
from zjops.tui.pipeline import RATE_S, sum_of
from zjops.tui.screens import Over, help_lines, json_lines
from zjops.tui.station import Station
from zjops.tui.travel import Moments, Travel
from zjops.tui.views.base import View
from zjops.tui.views.chain import Chain
from zjops.tui.views.errors import Errors
from zjops.tui.views.job import Job
from zjops.tui.views.jobs import Jobs
from zjops.tui.views.logs import Logs
from zjops.tui.views.overview import Overview
from zjops.tui.views.slos import Slos
from zjops.tui.views.tenants import Tenants

LOAD_EVERY_S = 0.5
"""How often a view is read again while it is live."""
LEAST = (60, 15)
INTERRUPTED = 130
END_WITHIN_S = 10
"""How long a terminal that is told to end may take; whoever runs it takes the alarm back."""


class TopApp(App[int]):
    """The application. `make_feed` gets the function to post pulses to; without it nothing moves by itself."""

    CSS_PATH = "top.tcss"
    TITLE = "zjops top"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [*keys.BINDINGS, *acting.BINDINGS, *breaking.BINDINGS]

    def __init__(
        self, station: Station, clock: Clock, moments: Moments, *, at_ms: int | None = None, now_ms: int | None = None,
        make_feed: Callable[[Callable[[Pulse], None]], Feed] | None = None, theme: str = themes.DARK.name,
        window_s: int = 300,
    ) -> None:  # fmt: skip
        super().__init__()
        for one in themes.OURS.values():
            self.register_theme(one)
        self.theme = theme
        themes.keep_plain(self)
        self.station, self.clock = station, clock
        self.acting = acting.Acting(self, self.say)
        self.breaking = breaking.Breaking(self, self.say)
        span = None if station.replayed is None else station.recording.span()
        self.machine = TimeMachine(
            clock.now_ms() if now_ms is None else now_ms, window_s, at_ms, end_ms=None if span is None else span[1]
        )  # fmt: skip
        self.travel = Travel(self, self.machine, moments, self._moved)
        self.pulse: Pulse | None = None
        self._make_feed = make_feed
        self._per_s = 0.0
        self.stack: list[str] = ["overview"]
        self._before = "overview"
        self._loading = self._again = False
        self._loaded_s = float("-inf")
        self._note = ""

        # Held here and not asked of a screen: another screen may lie above, or be on its way out.
        made = (Overview, Jobs, Job, Slos, Tenants, Chain, Errors, Logs)
        self._views: dict[str, View] = {view.NAME: view(station) for view in made}
        self._header, self._footer, self._small = Static(id="header"), Static(id="footer"), Static(id="too-small")
        self._command = CommandLine(id="command")

    def compose(self) -> ComposeResult:
        yield self._header
        yield ContentSwitcher(*self._views.values(), initial="overview")
        yield self._command
        yield self._footer
        yield self._small

    def on_mount(self) -> None:
        self.call_after_refresh(self._begin)
        self._timer = self.set_interval(0.25, self._tick)
        self.view.settle()
        self.reload()

    def _begin(self) -> None:
        """Start the feed, once there is something to see. Ended from outside or hung up on, leave in order."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._end)
        if self._make_feed is not None:
            self.run_worker(self._run(self._make_feed(self.heard)), name="feed", exit_on_error=True)

    def _end(self) -> None:
        """Asked to end from outside. What it still draws may find no terminal to take it: that must not hold it up."""
        signal.alarm(END_WITHIN_S)
        self.exit(return_code=INTERRUPTED)

    def on_unmount(self) -> None:
        self._timer.stop()
        self.acting.stop()

    async def _run(self, feed: Feed) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await feed.run()

    @property
    def view(self) -> View:
        """The view that is shown."""
        return self._views[self.stack[-1]]

    def heard(self, pulse: Pulse) -> None:
        """A pulse of the feed: it is kept, and what is drawn follows in its own time."""
        self.pulse = pulse
        self.machine.moved(pulse.at_ms, pulse.ahead_ms)

    def _tick(self) -> None:
        self.acting.tick()
        self._draw_edges()
        if self.machine.instant.live and self.clock.monotonic() - self._loaded_s >= LOAD_EVERY_S:
            self.reload()

    def _draw_edges(self) -> None:
        """Header and footer, when they say something else than before."""
        instant, width = self.machine.instant, self.size.width
        _update(self._header, content(header(self.station, self.view.TITLE, instant, self.pulse, self._per_s, width)))
        note = self._note or self.acting.line
        _update(self._footer, content([footer(self.view.HINTS, note, width, self.station.says())]))

    @property
    def busy(self) -> bool:
        """Whether something is being read that will be drawn."""
        return self._loading or self.acting.looks

    def reload(self) -> None:
        """Read and draw the view again; while that lasts, once more afterwards and not at the same time."""
        if self._loading:
            self._again = True
            return
        self._loading = True
        self.run_worker(self._load(), group="load")

    async def _load(self) -> None:
        try:
            while True:
                self._again = False
                self._loaded_s = self.clock.monotonic()
                await self._read(self.view)
                if not self._again:
                    return
        finally:
            self._loading = False

    async def _read(self, view: View) -> None:
        instant = self.machine.instant
        try:
            self._per_s, found = await asyncio.to_thread(self._found, view, instant)
        except UsageError as exc:
            self._note = str(exc)
            return
        if view is self.view:
            view.show(found, instant)
        self._draw_edges()

    def _found(self, view: View, instant: Instant) -> tuple[float, Any]:
        """What a view shows, and how many events a second there were; in a thread."""
        recording, last_s = self.station.recording, instant.at_ms // 1000 - 1
        recent = sum_of(recording.series(last_s - RATE_S + 1, last_s))
        return sum(recent[1:]) / RATE_S, view.read(recording, instant)

    def open_view(self, name: str, argument: str | None = None) -> None:
        """Show a view, for something; Esc comes back."""
        if name != self.stack[-1]:
            self._before = self.stack[-1]
            self.stack.append(name)
        self._shown(argument)

    def _shown(self, argument: str | None = None) -> None:
        self._note = ""
        self.query_one(ContentSwitcher).current = self.stack[-1]
        if not self._command.display:
            # `:` overtakes a key that was pressed before it: what is being typed keeps the keys.
            self.view.settle()
        self.view.enter(argument)
        self._draw_edges()
        self.reload()

    def on_resize(self, event: Resize) -> None:
        """Below a size nothing can be read any more: say so."""
        width, height = event.size
        small = width < LEAST[0] or height < LEAST[1]
        self.screen_stack[0].set_class(small, "-small")
        if small:
            text = f"zjops top needs {LEAST[0]}x{LEAST[1]}, this is {width}x{height}.\n\nAny size: zjops top --plain"
            self._small.update(text)
        self._draw_edges()
        self.call_after_refresh(self.reload)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`/` and `:` are taken before the panel sees them, so that what is typed next goes into their field.

        In a field they are text, and below something that lies over the view they mean nothing.
        """
        if action in ("filter", "command"):
            return not isinstance(self.focused, Input) and len(self.screen_stack) == 1
        return True

    def action_view(self, name: str) -> None:
        """Show a view by its key."""
        self.open_view(name)

    def action_leave(self) -> None:
        """Stop an act that runs, else back to where one came from."""
        if not self.acting.stop() and len(self.stack) > 1:
            self._before = self.stack.pop()
            self._shown()

    async def action_quit(self) -> None:
        """Leave, unless an act would be left half done."""
        if self.acting.holds is None:
            await super().action_quit()
        else:
            self.say(self.acting.holds)

    def action_act(self, verb: str) -> None:
        """Show what an act would do to what is marked or chosen."""
        self.acting.ask(verb)

    def action_heal(self) -> None:
        """End everything that is broken on purpose."""
        self.breaking.heal()

    def action_last(self) -> None:
        """The view before this one, and back again."""
        self.open_view(self._before)

    def action_filter(self) -> None:
        """Filter the list that is shown."""
        if self.view.FILTERS:
            self.view.query_one("FilterBar").edit()  # type: ignore[attr-defined]

    def action_faults(self) -> None:
        """Show only what is wrong, in the view that is shown."""
        self.view.faults_only = not self.view.faults_only
        self.reload()

    def action_freeze(self) -> None:
        """All panels stand at this instant, or go on."""
        self.travel.freeze()

    def action_step(self, by: int) -> None:
        """Back or forth in time."""
        try:
            self.travel.step(by)
        except UsageError as exc:
            self.say(str(exc))

    def action_widen(self, by: int) -> None:
        """Another window."""
        self.travel.widen(by)

    def action_live(self) -> None:
        """Follow what is new."""
        self.travel.live()

    def action_breach(self) -> None:
        """To the first moment at which something began to be wrong; from there to the next one."""
        self.travel.to_breach()

    def _moved(self) -> None:
        self._draw_edges()
        self.reload()

    def action_theme(self) -> None:
        """The next theme."""
        names = list(themes.OURS)
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    def action_header(self) -> None:
        """Hide or show the header."""
        self._header.toggle_class("hidden")

    def action_refresh(self) -> None:
        """Read again now."""
        self.reload()

    def action_copy(self) -> None:
        """Take along what is chosen."""
        text = self.view.copied()
        if text:
            self.copy_to_clipboard(text)
            self.say(f"copied {text}")

    def action_raw(self) -> None:
        """What is chosen, as JSON."""
        value = self.view.raw()
        if value is not None:
            self.push_screen(Over(json_lines(value), "JSON"))

    def action_incident(self) -> None:
        """Write an incident folder of what is shown."""
        if self.station.incidents is None:
            self.say("there is no folder for incidents here")
            return
        # The picture first: it is of what was shown, without a word of the writing.
        shown = self.export_screenshot(), self.machine.instant
        self.say("writing what is shown …")
        self.run_worker(self._write_incident(self.station.incidents, *shown), group="incident")

    async def _write_incident(self, folder: Path, svg: str, instant: Instant) -> None:
        from zjops.tui.incident import write_incident

        try:
            made = await asyncio.to_thread(write_incident, folder, self.station.recording, instant, svg)
        except ZjopsError as exc:
            self.say(str(exc))
        else:
            self.say(f"written: {made}")

    def action_help(self) -> None:
        """Help for the view that is shown."""
        view = self.view
        self.push_screen(Over(help_lines(view.TITLE, view.HINTS, view.FILTERS), "help"))

    def action_command(self) -> None:
        """Type a command."""
        self._command.edit()

    def on_command_line_given(self, event: CommandLine.Given) -> None:
        """Do what was typed."""
        try:
            self._do(commands.parse_command(event.text))
        except ZjopsError as exc:
            self.say(str(exc))

    def _do(self, command: commands.Command) -> None:
        verb, argument = command
        if verb in commands.VIEWS:
            self.open_view(verb, argument)
        elif verb in commands.ACTS:
            self.acting.ask(verb, argument)
            return
        elif verb == commands.BREAK:
            self.breaking.ask(argument)
            return
        elif verb == "at":
            self.travel.to(argument or "")
        elif verb == "window":
            self.machine.window_s = commands.WINDOWS[argument or ""]
        elif verb == "theme":
            self.theme = argument or themes.DARK.name
        elif verb == "live":
            self.travel.live()
        elif verb == "breach":
            self.travel.to_breach()
        else:
            self.call_later(self.action_help if verb == "help" else self.action_quit)
        self._moved()

    def say(self, text: str) -> None:
        """A sentence in the footer, until the next key."""
        self._note = text
        self._draw_edges()

    def on_key(self) -> None:
        """A new key: what was said before is read."""
        if self._note:
            self._note = ""
            self._draw_edges()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers."""
        return system_commands(self)


def _update(widget: Static, shown: Content) -> None:
    """Draw it, when it says something else than before."""
    if widget.content != shown:
        widget.update(shown)
