"""`simulate`: a world or a volume from what was asked for, told as JSON lines."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.process_death import die_with_parent
from simulator.world.rhythm import DAY_MS
from zjops.domain.clock import SystemClock, parse_rfc3339
from zjops.domain.errors import UsageError, ZjopsError

if TYPE_CHECKING:
    from simulator.world.ledger import Kept

FIRST_DAY = "2026-09-01"
"""A whole month that is over, so that it can be closed; always the same, so that a seed gives the same bytes."""
AFTER_MS = parse_rfc3339("2999-12-31T00:00:00Z") + DAY_MS
"""Months are those of the years from 2000 to 2999."""
DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}")


def simulate(args: argparse.Namespace) -> int:
    """Make it, with what is reached on the way and the report at the end. Raises `ZjopsError`."""
    end = _End()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end.ask)
    if args.parent is not None:
        die_with_parent(args.parent)
    clock, folder = SystemClock(), args.out.expanduser().absolute()
    start_ms = _start_ms(args.first_day, args.until_ms, args.days)
    if args.volume is not None:
        from simulator.world.volume import make, volume

        if args.jobs is not None:
            raise UsageError("--volume says how many events there are; leave --jobs out")
        if args.store:
            raise UsageError("--store goes with a world that is played, not with --volume")
        much = volume(args.volume, args.days, args.tenants, args.seed, start_ms)
        _check_end(start_ms, args.days)
        report = make(much, folder, clock, lambda at: end.heard(at._asdict() | {"share": at.events / much.events}))
    else:
        from simulator.world.run import asked, play

        what = asked(args.days, args.tenants, args.seed, start_ms, args.jobs)
        _check_end(start_ms, args.days)
        played = play(what, folder, clock, lambda at: end.heard(at._asdict()))
        report = played.report
        if args.store:
            _hand_over(folder, played.kept, start_ms + args.days * DAY_MS)
    _tell("made", {"report": report})
    return 0


class _Interrupted(ZjopsError):
    """Somebody asked for the end."""

    exit_code = 130


class _End:
    """A signal asks for the end, which comes at the next progress: no write is torn, and the folder is cleared."""

    def __init__(self) -> None:
        self._asked = False

    def ask(self, number: int, frame: object) -> None:
        """Handle a signal."""
        self._asked = True

    def heard(self, said: dict[str, Any]) -> None:
        """Tell of progress. Raises `_Interrupted`."""
        if self._asked:
            raise _Interrupted("interrupted; nothing was kept")
        _tell("progress", said)


def _hand_over(folder: Path, kept: Kept, at_ms: int) -> None:
    """Lay the store beside it from which a live platform goes on."""
    from simulator.environment import begin_store
    from simulator.world.folder import clear
    from simulator.world.handover import handing_over

    try:
        asyncio.run(begin_store(folder, handing_over(kept, at_ms)))
    except BaseException:
        clear(folder, whole=True)
        raise


def _start_ms(first_day: str | None, until_ms: int | None, days: int) -> int:
    if until_ms is not None:
        return until_ms - days * DAY_MS
    first_day = first_day or FIRST_DAY
    try:
        if not DAY.fullmatch(first_day):
            raise ValueError(first_day)
        return parse_rfc3339(f"{first_day}T00:00:00Z")
    except ValueError as exc:
        raise UsageError(f"--from is a day since 2000 such as {FIRST_DAY}, not {first_day}") from exc


def _check_end(start_ms: int, days: int) -> None:
    if start_ms + days * DAY_MS > AFTER_MS:
        raise UsageError("--from and --days go past the year 2999, beyond which there are no months")


def _tell(event: str, said: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode({"event": event} | said) + b"\n")
    sys.stdout.buffer.flush()
