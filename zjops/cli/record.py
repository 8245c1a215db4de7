"""record: keep what a platform does in a file that zjops top can play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.cli.text import near
from zjops.cli.times import duration_ms
from zjops.cli.waiting import until_asked
from zjops.config import resolve
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UsageError
from zjops.recording.files import Limits

if TYPE_CHECKING:
    from zjops.feed.messages import Pulse

MEGABYTE = 1_000_000
Hours = Annotated[float, typer.Option("--hours", help="Keep so many hours; the oldest minutes go.", min=0.02)]
Megabytes = Annotated[int, typer.Option("--megabytes", help="Keep so much, former recordings too.", min=1)]


def limits_of(hours: float, megabytes: int) -> Limits:
    """How much is kept."""
    return Limits(hours, megabytes * MEGABYTE)


def record(
    lasting: Annotated[str | None, typer.Option("--for", help="End after so long, such as 10m; else Ctrl-C.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file; by default a new one in recordings/.")] = None,
    hours: Hours = 24.0, megabytes: Megabytes = 2_000, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Record jobs, requests, batches, outages and what operators do, until Ctrl-C or for a time."""
    from zjops.feed.feed import Feed
    from zjops.feed.live import live_sources
    from zjops.feed.recordings import new_recorder

    within_s = None if lasting is None else duration_ms(lasting, "--for") / 1000
    if out is not None and out.exists():
        raise UsageError(f"{out} exists; a recording begins with a new file")
    told, clock = Out(output, json, quiet), SystemClock()
    found = resolve(context, home)
    writer = new_recorder(found, clock, limits_of(hours, megabytes), out)
    tally = _Tally(told)
    feed = Feed(live_sources(lambda: resolve(context, home), clock), clock, tally.heard, writer)
    told.say(f"recording {found.name} into {near(writer.path)}; stop with Ctrl-C")
    until_asked(feed.run(), seconds=within_s)
    text = (
        f"{near(writer.path)}: {tally.events:,} events, {tally.requests:,} requests; zjops top --replay {writer.path}"
    )
    told.done(
        "zjops.recording/1", text, file=str(writer.path), bytes=writer.path.stat().st_size, events=tally.events,
        requests=tally.requests,
    )  # fmt: skip


class _Tally:
    """Adds up pulses, and says when a source goes or comes back."""

    def __init__(self, out: Out) -> None:
        self.events = self.requests = 0
        self._out, self._away = out, frozenset[str]()

    def heard(self, pulse: Pulse) -> None:
        self.events += sum(pulse.events.values())
        self.requests += pulse.requests
        away = frozenset(stale.source for stale in pulse.stale)
        for stale in pulse.stale:
            if stale.source not in self._away:
                self._out.say(f"{stale.source} is away: {stale.reason}")
        for source in sorted(self._away - away):
            self._out.say(f"{source} is back")
        self._away = away


commands = {"record": record}
