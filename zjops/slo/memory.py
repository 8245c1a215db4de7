"""What checks remember between two runs, in a file of the home: earlier readings, and the alerts that were told of."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from zjops.domain.errors import UsageError

FILE = "checks.json"
SCHEMA = "zjops.checks/1"
KEPT_MS = 3_600_000


class Reading(msgspec.Struct, frozen=True):
    """The relayer's counters at a moment, Unix ms."""

    at_ms: int
    confirmed: int
    failed: int


class Told(msgspec.Struct, frozen=True):
    """An alert that somebody was told of."""

    name: str
    severity: str
    labels: dict[str, str]
    text: str
    since_ms: int
    opens: str


class Memory(msgspec.Struct, frozen=True):
    """The file."""

    schema: str = SCHEMA
    chain: list[Reading] = []
    told: list[Told] = []


def read_memory(home: Path) -> Memory:
    """What was remembered; nothing where there is no such file. Raises `UsageError` for one that cannot be read."""
    path = home / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.MsgspecError) as exc:
        raise UsageError(f"{path} cannot be read ({exc}); take it away") from exc
    if found.schema != SCHEMA:
        raise UsageError(f"{path} is another version's ({found.schema}); take it away")
    return found


def write_memory(home: Path, memory: Memory) -> None:
    """Remember, in one step. Raises `UsageError`."""
    beside = home / f".{FILE}.{os.getpid()}"
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(memory), indent=2))
        beside.chmod(0o600)
        beside.replace(home / FILE)
    except OSError as exc:
        raise UsageError(f"{home / FILE} cannot be written ({exc.strerror})") from exc


def within(readings: list[Reading], now: Reading, window_ms: int) -> tuple[int, int] | None:
    """What was confirmed and failed since the oldest reading of a window; None where there is none.

    A counter that fell began anew: what it says came after.
    """
    known = [one for one in readings if now.at_ms - window_ms <= one.at_ms < now.at_ms]
    if not known:
        return None
    confirmed = failed = 0
    for before, after in zip(known, [*known[1:], now], strict=True):
        confirmed += _grown(before.confirmed, after.confirmed)
        failed += _grown(before.failed, after.failed)
    return confirmed, failed


def _grown(before: int, after: int) -> int:
    return after - before if after >= before else after
