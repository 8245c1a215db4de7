"""The line at the top: where this is, when it is, and what does not answer. And the line of keys at the bottom."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from zjops.domain.text import one_line
from zjops.feed.messages import RECORDING, Pulse, Stale
from zjops.tui.figures import cell, clock, rate, span
from zjops.tui.ink import BAD, BOLD, DIM, GOOD, HEAD, PLAIN, WARN, Line, Span, width_of
from zjops.tui.moment import Instant, window_text
from zjops.tui.station import Station

LOUD = "bold reverse $error"
LATE_MS = 3_000


def header(station: Station, view: str, instant: Instant, pulse: Pulse | None, per_s: float, width: int) -> list[Line]:
    """Context, state, moment, window and freshness; a second line while something is away."""
    line: Line = [
        (" zjops top ", "bold reverse"),
        (" ", PLAIN),
        _context(station),
        (" ", PLAIN),
        _state(station, instant, pulse),
    ]
    line += [(f"  {clock(instant.at_ms, date=width >= 100)}", BOLD), (f"  window {window_text(instant.window_s)}", DIM)]
    stale = () if pulse is None else pulse.stale
    right: list[Span] = [(f"{rate(per_s)} events/s ", PLAIN), *_fresh(pulse, stale)]
    if width_of(line) + width_of(right) + 2 <= width:
        line.append((" " * (width - width_of(line) - width_of(right)), PLAIN))
        line += right
    return [line, *_away(stale, instant.at_ms, width)]


def _context(station: Station) -> Span:
    if station.local:
        return f"local:{station.context}" if station.context != "local" else "local", DIM
    return f" CONTEXT {station.context.upper()} ", LOUD


def _state(station: Station, instant: Instant, pulse: Pulse | None) -> Span:
    """What the time does, by glyph and word."""
    if not instant.live:
        return "❚❚ FROZEN", WARN
    if station.replayed is not None:
        if pulse is not None and pulse.ended:
            return "■ END of replay", WARN
        return f"▶ REPLAY x{station.replayed:g}", HEAD
    return ("● LIVE", GOOD) if pulse is not None else ("◌ connecting", WARN)


def _fresh(pulse: Pulse | None, stale: Sequence[Stale]) -> list[Span]:
    if pulse is None:
        return []
    if stale:
        return [(f"{len(stale)} stale", BAD)]
    if pulse.ahead_ms:
        side = "behind" if pulse.ahead_ms > 0 else "ahead"
        return [(f"this machine's clock is {span(abs(pulse.ahead_ms))} {side}", WARN)]
    if pulse.late_ms is not None and pulse.late_ms < -LATE_MS:
        return [(f"its clock is {span(-pulse.late_ms)} ahead", WARN)]
    if pulse.late_ms is not None and pulse.late_ms > LATE_MS:
        return [(f"events {span(pulse.late_ms)} late", WARN)]
    return [("fresh", GOOD)]


def _away(stale: Sequence[Stale], at_ms: int, width: int) -> list[Line]:
    """What does not answer, on a line; of a recording that is not written also which and why, whole."""
    told = "; ".join(
        f"{one.source} stale for {span(at_ms - one.since_ms)}: {one.reason}" for one in stale
        if one.source != RECORDING
    )  # fmt: skip
    lines: list[Line] = [[(cell(f" ◌ {told}", width), BAD)]] if told else []
    for one in stale:
        if one.source == RECORDING:
            rows = textwrap.wrap(one_line(f"for {span(at_ms - one.since_ms)}: {one.reason}"), max(20, width - 4))
            lines += [[(cell(f"{' ◌ ' if index == 0 else '   '}{row}", width), BAD)] for index, row in enumerate(rows)]
    return lines


def footer(hints: Sequence[tuple[str, str]], note: str, width: int, standing: str = "") -> Line:
    """A note alone; else what stands there all the time, if anything, and as many keys as fit."""
    line: Line = [(" ", PLAIN)]
    if note:
        return [(cell(f" {note}", width), WARN)]
    if standing:
        line = [(f" {cell(standing, width - 2).rstrip()}", BOLD), ("  ", PLAIN)]
    for key, what in [("1-8", "views"), ("?", "help"), ("q", "quit"), *hints]:
        more: Line = [(key, HEAD), (f" {what}  ", DIM)]
        if width_of(line) + width_of(more) > width:
            break
        line += more
    return line
