"""What the generator writes down, as JSON lines: its own format, written second by second so that no end loses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from zjops.domain.errors import UsageError

SCHEMA = "zjops.load.records/1"


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """A line."""


class TenantMade(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant that was made for the run, and what was negotiated for it."""

    tenant: str
    plan: str
    values: dict[str, int]


class Head(Record, frozen=True, kw_only=True, tag="head"):
    """Written when the first arrival is about to be due. `began_ms` is that moment, Unix ms."""

    schema: str
    began_ms: int
    workers: int
    tenants: list[TenantMade]


class Tick(Record, frozen=True, kw_only=True, tag="tick"):
    """What is new of one second, phase and kind of request; several lines of the same add up.

    Every request stands in the second in which it was due. Histograms are counts by bucket, in microseconds: `latency`
    from when it was due, `service` from when it was sent, of what was accepted or not answered in time; `lag` is
    between the two, of all. `late` were sent only after their phase, `jobs` were accepted by these requests.
    `primary` are arrivals of the schedule; what follows upon them, such as polls, is not. `offered` is below zero where
    a run was ended while some of what an earlier line had offered still waited.
    """

    worker: int
    second: int
    phase: int
    op: str
    primary: bool = True
    offered: int = 0
    started: int = 0
    late: int = 0
    accepted: int = 0
    shed: int = 0
    errors: int = 0
    server_errors: int = 0
    timeouts: int = 0
    dropped: int = 0
    jobs: int = 0
    statuses: dict[str, int] = {}
    latency: dict[int, int] = {}
    service: dict[int, int] = {}
    lag: dict[int, int] = {}


class Cpu(Record, frozen=True, kw_only=True, tag="cpu"):
    """How long a process of the generator computed between two moments, in seconds from the start of the run."""

    worker: int
    from_s: float
    to_s: float
    cpu_s: float


class Webhook(Record, frozen=True, kw_only=True, tag="webhook"):
    """A webhook that came for a job, Unix ms."""

    job_id: str
    at_ms: int


class Tail(Record, frozen=True, kw_only=True, tag="tail"):
    """The end of a process of the generator, after so many seconds; `whole` when it did not have to stop before."""

    worker: int
    ran_s: float
    whole: bool


Line = Head | Tick | Cpu | Webhook | Tail
_decoder = msgspec.json.Decoder(Line)


def parse_line(line: bytes, where: str) -> Line:
    """One line. Raises `UsageError`."""
    try:
        found: Line = _decoder.decode(line)
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{where}: {exc}") from exc
    return found


def read(path: Path) -> Iterator[Line]:
    """The lines of a file; a torn last one is left out. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):
                    yield parse_line(line, f"{path}, line {number}")
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror})") from exc
