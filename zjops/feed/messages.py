"""What the feed posts."""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class Stale(msgspec.Struct, frozen=True):
    """A source that does not answer: why, and since when (Unix ms). What was read of it before still stands."""

    source: str
    reason: str
    since_ms: int


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What happened since the pulse before.

    `at_ms` is the moment that counts as now; `events` counts job events by type, `requests` answered ones and `bad`
    those that count against availability. `late_ms` is how old the newest event was when it came, None for none;
    `stale` are the sources that are away. In a recording that has come to its end `ended` is true. `ahead_ms` is by how
    much the platform's clock, by which everything is told, is ahead of this machine's.
    """

    at_ms: int
    events: dict[str, int]
    requests: int
    bad: int
    late_ms: int | None
    stale: tuple[Stale, ...]
    ended: bool = False
    ahead_ms: int = 0


class Verdict(NamedTuple):
    """What became of checking a proof, in a sentence."""

    ok: bool
    words: str


BROKER, API, CHAIN, RECORDING = "broker", "API", "chain", "recording"
"""The sources."""
