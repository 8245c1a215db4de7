"""demo: the whole platform at work."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zjops.cli.exits import CHECK_FAILED
from zjops.cli.options import Json
from zjops.domain.errors import UsageError

if TYPE_CHECKING:
    from zjops.demo.story import Story


def demo(
    json: Json = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the platform up, with commands to try.")] = False,
    step: Annotated[bool, typer.Option("--step", help="Wait for Enter between the acts.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it in zjops top; q there ends it.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Keep history, proofs, invoice and audit there.")] = None,
) -> None:
    """Start a fresh platform, put it through its paces, kill a part of it, and prove that every job came out right."""
    if watch and (json or step):
        raise UsageError("--watch takes the screen: neither --json nor --step goes with it")
    if watch and not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise UsageError("--watch needs a terminal; without one: zjops demo")
    from zjops.cli.waiting import end_in_order
    from zjops.demo.run import run

    end_in_order()
    try:
        held = run(as_json=json, keep=keep, step=step, out=out, watch=_watch if watch else None)
    finally:
        if watch:
            from zjops.cli.top import leave_in_time

            leave_in_time()
    if not held:
        raise typer.Exit(CHECK_FAILED)


def _watch(home: Path, story: Story) -> None:
    """The terminal on the demo's platform. It only reads: an act would be one too many for the demo's checks."""
    from zjops.cli.top import watch
    from zjops.cli.waiting import end_in_order
    from zjops.domain.clock import SystemClock
    from zjops.recording.files import Limits

    only = "the demo acts here, and its checks count on it"
    try:
        watch(SystemClock(), Limits(), None, home, read_only=only, says=story.told, opened=story.begin)
    finally:
        # The terminal had signals to itself. The platform is taken down now, which may take longer than a terminal may.
        signal.alarm(0)
        end_in_order()


commands = {"demo": demo}
