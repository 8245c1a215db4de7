"""top: the terminal that an operator leaves open, live or over a recording."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zjops.cli.options import ContextName, Home
from zjops.cli.record import Hours, Megabytes, limits_of
from zjops.cli.text import plain
from zjops.cli.times import moment_ms
from zjops.cli.topweb import PORT, Open, Port, ReadOnly, Web, check_pages, serve_pages, terminal_argv
from zjops.cli.waiting import until_asked
from zjops.config import LOCAL, Context, resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UnreachableError, UsageError
from zjops.recording.files import Limits, check_file

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from zjops.actions.acts import Door, Opener
    from zjops.client.control import Control
    from zjops.feed.feed import Feed
    from zjops.feed.messages import Pulse, Verdict
    from zjops.recording.reader import Recording
    from zjops.recording.recorder import Recorder
    from zjops.tui.station import Station

INPUT = "textual-input"
LEAVES_WITHIN_S = 10
"""After this a process whose terminal is gone is ended by an alarm; what it had to close is closed by then."""
CHECK_MOST_BYTES = 300_000_000
"""Up to this size a recording is gone through as a whole before it is shown, which takes a second."""


def top(
    replay: Annotated[Path | None, typer.Option("--replay", help="Play this recording.")] = None,
    speed: Annotated[float, typer.Option("--speed", help="How quickly to play it.", min=0.1, max=1000)] = 1.0,
    at: Annotated[str | None, typer.Option("--at", help="Stand at a moment that was recorded: 14:05, -10m.")] = None,
    plain_lines: Annotated[bool, typer.Option("--plain", help="Lines, for pipes and screen readers.")] = False,
    every: Annotated[int, typer.Option("--every", help="Seconds between lines of --plain.", min=1)] = 5,
    theme: Annotated[str | None, typer.Option("--theme", help="dark, light, 16 or 16-light.")] = None,
    allow_actions: Annotated[bool, typer.Option("--allow-actions", help="Acts also where this is not local.")] = False,
    web: Web = False, port: Port = PORT, open_it: Open = False, read_only: ReadOnly = False,
    hours: Hours = 24.0, megabytes: Megabytes = 2_000, home: Home = None, context: ContextName = None,
) -> None:  # fmt: skip
    """Watch jobs, budgets, tenants, chain, errors and logs, and act on them; everything seen is recorded."""
    clock = SystemClock()
    at_ms = None if at is None else moment_ms(at, clock.now_ms(), "--at")
    if speed != 1.0 and replay is None:
        raise UsageError("--speed goes with --replay FILE")
    if web:
        check_pages(plain_lines, theme)
        over = _recorded(replay, at_ms, context, home)
        serve_pages(terminal_argv(over, at_ms, speed, theme, hours, megabytes, home, context), port, open_it)
        return
    if not plain_lines and not sys.stdout.isatty():
        raise UsageError("this is no terminal; for a pipe: zjops top --plain")
    if replay is not None or at_ms is not None:
        _replayed(_found(replay, at_ms, context, home), clock, speed, at_ms, plain_lines, every, theme, context, home)
        return
    only = _only_reads(os.environ) if read_only else None
    watch(
        clock, limits_of(hours, megabytes), context, home, plain_lines, every, theme, only, allow_actions=allow_actions
    )


def _only_reads(environ: Mapping[str, str]) -> str:
    """Why there are no acts: a page of `--web` has none, and nobody said so to it."""
    from zjops.web.terminal import PROGRAM

    browser = environ.get("TERM_PROGRAM") == PROGRAM
    return "a browser only reads; acts are in a terminal" if browser else "this terminal only reads (--read-only)"


def watch(
    clock: SystemClock, limits: Limits, context: str | None, home: Path | None, plain_lines: bool = False,
    every: int = 5, theme: str | None = None, read_only: str | None = None, says: Callable[[], str] = str,
    opened: Callable[[], None] = lambda: None, allow_actions: bool = False,
) -> None:  # fmt: skip
    """Show a platform and record it, until somebody has had enough.

    `read_only` and `says` are the station's; `opened` is called once there is something to see.
    """
    found = resolve(context, home)
    from zjops.feed.recordings import new_recorder

    writer = new_recorder(found, clock, limits)
    station = _station(writer.path, found, home)
    writer.reader = station.recording
    station.operator, station.allow_actions = _operator(found, context, home), allow_actions
    station.read_only, station.says, station.control = read_only, says, _control(found)

    def make(post: Callable[[Pulse], None]) -> Feed:
        # Only now: what speaks to a platform takes longer to load than the first picture may take.
        from zjops.feed.feed import Feed
        from zjops.feed.live import live_sources

        opened()
        return Feed(live_sources(lambda: resolve(context, home), clock), clock, post, writer)

    try:
        _run(station, clock, make, plain_lines, every, theme)
    finally:
        _close(writer, station.recording)


def _recorded(replay: Path | None, at_ms: int | None, context: str | None, home: Path | None) -> Path | None:
    """The recording that is meant, or None for the platform itself. Raises when what is meant is not there."""
    if replay is None and at_ms is None:
        resolve(context, home)
        return None
    found = _found(replay, at_ms, context, home)
    check_file(found)
    return found


def _found(replay: Path | None, at_ms: int | None, context: str | None, home: Path | None) -> Path:
    """The recording that is meant: the named one, or the one that covers a moment."""
    if replay is not None:
        return replay
    from zjops.feed.recordings import recordings_folder
    from zjops.recording.files import covering

    assert at_ms is not None
    return covering(recordings_folder(_known(context, home), home), at_ms)


def _known(context: str | None, home: Path | None) -> Context | None:
    """The context, if there is one; a recording can be looked at without any platform."""
    try:
        return resolve(context, home, alive=False)
    except (UnreachableError, UsageError):
        if context is not None:
            raise
        return None


def _replayed(
    path: Path, clock: SystemClock, speed: float, at_ms: int | None, plain_lines: bool, every: int, theme: str | None,
    context: str | None, home: Path | None,
) -> None:  # fmt: skip
    from zjops.feed.feed import Feed
    from zjops.feed.playback import Playback

    station = _station(path, _known(context, home), home, speed)
    if path.stat().st_size <= CHECK_MOST_BYTES:
        station.recording.check()
    playback = Playback(station.recording, clock, speed=speed, from_ms=at_ms)
    if at_ms is not None and not playback.first_ms <= at_ms <= playback.last_ms:
        raise UsageError(f"{path} does not reach to that moment; play it as a whole: zjops top --replay {path}")

    def make(post: Callable[[Pulse], None]) -> Feed:
        return Feed([playback], clock, post)

    _run(station, clock, make, plain_lines, every, theme, at_ms, playback.moment_ms)
    station.recording.close()


def _station(path: Path, found: Context | None, home: Path | None, speed: float | None = None) -> Station:
    """What the views use. A recording names the context that it is of."""
    from zjops.feed.recordings import recordings_folder
    from zjops.recording.reader import Recording
    from zjops.tui.applog import Logs
    from zjops.tui.station import Station

    recording = Recording(path)
    name = recording.about().get("context", LOCAL)
    same = found is not None and found.name == name
    log = Path(found.log_dir) / "app" if found is not None and same and found.log_dir else None

    def details(job_id: str) -> dict[str, Any] | None:
        from zjops.feed.jobdetail import job_detail

        return job_detail(resolve(name, home), job_id)

    def verify(job_id: str) -> Verdict:
        from zjops.feed.jobdetail import verify_job

        return verify_job(resolve(name, home), job_id)

    live = speed is None and found is not None and found.operator is not None
    return Station(
        recording, name, local=name == LOCAL, details=details if live else None,
        verify=verify if same and found is not None and found.operator is not None else None,
        logs=Logs(log) if log is not None and log.is_dir() else None, replayed=speed,
        incidents=recordings_folder(found if same else None, home).parent / "incidents",
    )  # fmt: skip


def _control(found: Context) -> Callable[[], AbstractContextManager[Control]] | None:
    """What opens the supervisor's control API; None where there is none."""
    if found.control_url is None:
        return None

    @contextlib.contextmanager
    def opened() -> Iterator[Control]:
        from zjops.client.control import Control

        control = Control(found)
        with contextlib.closing(control.http):
            yield control

    return opened


def _operator(found: Context, context: str | None, home: Path | None) -> Opener | None:
    """What opens the door for acts; None without operator credentials."""
    if found.operator is None:
        return None

    def door() -> AbstractContextManager[Door]:
        from zjops.actions.door import opened

        return opened(lambda: resolve(context, home))

    return door


def _run(
    station: Station, clock: SystemClock, make: Callable[[Callable[[Pulse], None]], Feed], plain_lines: bool,
    every: int, theme: str | None, at_ms: int | None = None, now_ms: int | None = None,
) -> None:  # fmt: skip
    if plain_lines:
        _print_lines(station.recording, make, every)
        return
    with _for_good():
        from zjops.tui import themes
        from zjops.tui.app import TopApp

        if theme is not None and theme not in themes.OURS:
            raise UsageError(f"--theme is one of {', '.join(themes.OURS)}")
        app = TopApp(
            station, clock, moment_ms, at_ms=at_ms, now_ms=now_ms, make_feed=make,
            theme=theme or themes.usual(os.environ),
        )  # fmt: skip
    try:
        app.run()
    finally:
        leave_in_time()
    if app.return_code:
        raise typer.Exit(app.return_code)


@contextlib.contextmanager
def _for_good() -> Iterator[None]:
    """What is loaded here stays: no collection looks for garbage in it, neither now, where that delays the first
    picture, nor later, where it is felt as a key that hangs.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_in_time() -> None:
    """Have an alarm end the process if it is still there after a while, where a thread would keep it for ever."""
    signal.alarm(LEAVES_WITHIN_S if reads_still() else 0)


def reads_still() -> bool:
    """Whether the thread that reads keys has outlived its application, as it does when its terminal is gone: it then
    spins on what reads as an end, and the interpreter would wait for it for ever.
    """
    return any(thread.name == INPUT and thread.is_alive() for thread in threading.enumerate())


def _print_lines(recording: Recording, make: Callable[[Callable[[Pulse], None]], Feed], every: int) -> None:
    """Print until Ctrl-C, or the end of a recording."""
    from zjops.tui.lines import LineMode

    lines, done = LineMode(recording, every), asyncio.Event()
    left: list[BrokenPipeError] = []

    def heard(pulse: Pulse) -> None:
        line = lines.heard(pulse)
        try:
            if line is not None:
                print(plain(line), flush=True)
        except BrokenPipeError as exc:
            # Raised here it would come out of two groups of tasks, and be none of which the command line knows.
            left.append(exc)
        if pulse.ended or left:
            done.set()

    async def run() -> None:
        feed, ended = asyncio.create_task(make(heard).run()), asyncio.create_task(done.wait())
        try:
            await asyncio.wait({feed, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            feed.cancel()
            told = (await asyncio.gather(feed, ended, return_exceptions=True))[0]
        if isinstance(told, Exception):
            raise told

    until_asked(run())
    if left:
        raise left[0]


def _close(writer: Recorder, recording: Recording) -> None:
    """The reader first, so that the writer can leave one whole file."""
    recording.close()
    writer.close()


commands = {"top": top}
