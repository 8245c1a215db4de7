"""top --web: the same terminal in a browser of this machine. It only reads."""

from __future__ import annotations

import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from zjops.cli.output import Format, Out
from zjops.cli.waiting import until_asked
from zjops.domain.clock import SystemClock, rfc3339
from zjops.domain.errors import UsageError

PORT = 8100
Web = Annotated[bool, typer.Option("--web", help="Serve it to a browser of this machine, by a link that works once.")]
Port = Annotated[int, typer.Option("--port", help="For --web; the next free one from here.", min=1, max=65_535)]
Open = Annotated[bool, typer.Option("--open", help="With --web: open the link in the usual browser.")]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="No actions, whatever else is said.")]


def terminal_argv(
    recording: Path | None, at_ms: int | None, speed: float, theme: str | None, hours: float, megabytes: int,
    home: Path | None, context: str | None,
) -> list[str]:  # fmt: skip
    """The program that every page gets: `zjops top` with the same options, and never with actions.

    A moment is given as such, so that all pages stand at the same one.
    """
    given: dict[str, object] = {
        "--replay": recording, "--speed": None if recording is None else speed,
        "--at": None if at_ms is None else rfc3339(at_ms), "--theme": theme, "--hours": hours,
        "--megabytes": megabytes, "--home": home, "--context": context,
    }  # fmt: skip
    options = [text for name, value in given.items() if value is not None for text in (name, str(value))]
    return [sys.executable, "-m", "zjops", "top", "--read-only", *options]


def check_pages(plain_lines: bool, theme: str | None) -> None:
    """Refuse at once what every page would refuse. Raises `UsageError`."""
    from zjops.tui import themes

    if plain_lines:
        raise UsageError("--plain is for a pipe and --web for a browser: one of them")
    if theme is not None and theme not in themes.OURS:
        raise UsageError(f"--theme is one of {', '.join(themes.OURS)}")


def serve_pages(argv: list[str], port: int, open_it: bool) -> None:
    """Serve until Ctrl-C. The link is the data, and alone on standard output."""
    from zjops.domain.ids import SystemIds
    from zjops.web.server import serve

    out = Out(Format.TABLE, False, False)

    def opened(url: str) -> None:
        print(url, flush=True)
        out.say("the link works once, in one browser on this machine; stop with Ctrl-C")
        if open_it:
            # Beside the server: the browser waits for it, and some are waited for themselves.
            threading.Thread(target=_open, args=(url, out), daemon=True).start()

    until_asked(serve(argv, port, opened, SystemIds(SystemClock())))


def _open(url: str, out: Out) -> None:
    if not webbrowser.open(url):
        out.say("no browser was found here to open it in")
