"""`simulate`: a world or a volume from what was asked for, told as JSON lines."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from typing import Any

import msgspec

from simulator.process_death import die_with_parent
from simulator.world.rhythm import DAY_MS
from zjops.domain.clock import SystemClock, parse_rfc3339
from zjops.domain.errors import UsageError

FIRST_DAY = "2026-09-01"
"""A whole month that is over, so that it can be closed; always the same, so that a seed gives the same bytes."""
DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}")


def simulate(args: argparse.Namespace) -> int:
    """Make it, with what is reached on the way and the report at the end. Raises `ZjopsError`."""
    # Whoever ends us by a signal finds the folder as it was before.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.parent is not None:
        die_with_parent(args.parent)
    clock, folder = SystemClock(), args.out.expanduser().absolute()
    start_ms = _start_ms(args.first_day, args.until_ms, args.days)
    if args.volume is not None:
        from simulator.world.volume import make, volume

        if args.jobs is not None:
            raise UsageError("--volume says how many events there are; leave --jobs out")
        much = volume(args.volume, args.days, args.tenants, args.seed, start_ms)
        report = make(
            much, folder, clock, lambda at: _tell("progress", at._asdict() | {"share": at.events / much.events})
        )
    else:
        from simulator.world.run import asked, play

        what = asked(args.days, args.tenants, args.seed, start_ms, args.jobs)
        report = play(what, folder, clock, lambda at: _tell("progress", at._asdict())).report
    _tell("made", {"report": report})
    return 0


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


def _tell(event: str, said: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode({"event": event} | said) + b"\n")
    sys.stdout.buffer.flush()
