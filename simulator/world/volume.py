"""A log of any size by arithmetic: no platform is played, and the log says so. For what must be measured at volume."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import duckdb

from simulator.store.queries import parse
from simulator.world.folder import MARK_LAST, clear, mark, open_folder
from simulator.world.limits import DAYS_MOST, SEED_MOST, within
from simulator.world.population import SHARES
from simulator.world.rhythm import DAY_MS, HOUR_MS, HOURS
from zjops.domain.clock import Clock, utc_date
from zjops.domain.errors import StoreUnavailable, UsageError
from zjops.domain.logfiles import name_of

EVENTS_A_JOB = 3.992
EVENTS_MOST, TENANTS_MOST = 2_000_000_000, 90_000
TENANTS_LEAST = 20
CHUNK_EVENTS = 2_000_000
"""So many events are in memory at once."""
MEMORY = "1200MB"
WEEKEND = 0.55
GROWTH_A_DAY = 0.003
BATCH_MS, FINAL_MS, GAS = 60_000, 36_000, 57_000
LIFE_MS = 60_100 + BATCH_MS + FINAL_MS
"""So long after its acceptance a job has run out of time, and its batch is full and final."""
NIGHT_LEAST = 6
"""Added to the weight of every hour: much of the traffic comes from schedules."""


class Volume(NamedTuple):
    """What is to be made: about so many events. `start_ms` is Unix ms, at a full hour."""

    events: int
    days: int
    tenants: int
    seed: int
    start_ms: int


class Hour(NamedTuple):
    """The jobs of one hour: the first one's number and that behind the last."""

    begin_ms: int
    first: int
    after: int


class Made(NamedTuple):
    """How far it is: events written, and seconds since the beginning."""

    events: int
    seconds: float


def volume(text: str, days: int, tenants: int, seed: int, start_ms: int) -> Volume:
    """A volume that can be made; `text` is a number of events such as 100M. It begins with the hour of `start_ms`.

    Raises `UsageError`.
    """
    events = _number(text)
    if not 1_000 <= events <= EVENTS_MOST:
        raise UsageError(f"--volume goes from 1K to {EVENTS_MOST // 10**9}G events")
    within("--days", days, 1, DAYS_MOST)
    if not TENANTS_LEAST <= tenants <= TENANTS_MOST:
        raise UsageError(f"--tenants goes from {TENANTS_LEAST} to {TENANTS_MOST} with --volume")
    within("--seed", seed, 0, SEED_MOST)
    return Volume(events, days, tenants, seed, start_ms - start_ms % HOUR_MS)


def _number(text: str) -> int:
    units = {"K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
    factor = units.get(text[-1:].upper())
    try:
        return round(float(text[:-1]) * factor) if factor else int(text)
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"--volume is a number of events such as 100M, not {text}") from exc


def hours_of(what: Volume) -> list[Hour]:
    """The jobs of each hour, by the rhythm of day and week; the last hour has none, so that all end within the span."""
    weights = [_weight(what.start_ms + n * HOUR_MS, n // 24) for n in range(24 * what.days)]
    weights[-1] = 0.0
    jobs, total = round(what.events / EVENTS_A_JOB), sum(weights)
    behind, ends = 0.0, [0]
    for weight in weights:
        behind += weight
        ends.append(round(jobs * behind / total))
    return [Hour(what.start_ms + n * HOUR_MS, *pair) for n, pair in enumerate(pairwise(ends))]


def _weight(at_ms: int, day: int) -> float:
    moment = dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC)
    return (HOURS[moment.hour] + NIGHT_LEAST) * (WEEKEND if moment.weekday() >= 5 else 1.0) * (1 + GROWTH_A_DAY) ** day


def windows(hours: list[Hour]) -> list[tuple[int, int]]:
    """Spans of time, each within a UTC day and with about so many events as fit into memory."""
    found: list[tuple[int, int]] = []
    begin, jobs = hours[0].begin_ms, 0
    for hour in hours:
        count, most = hour.after - hour.first, CHUNK_EVENTS / EVENTS_A_JOB
        if hour.begin_ms > begin and (jobs + count > most or hour.begin_ms // DAY_MS != begin // DAY_MS):
            found.append((begin, hour.begin_ms))
            begin, jobs = hour.begin_ms, 0
        jobs += count
        parts = -(-count // int(most))
        if parts > 1:
            edges = [begin + HOUR_MS * n // parts for n in range(parts + 1)]
            found += pairwise(edges)
            begin, jobs = edges[-1], 0
    if begin < hours[-1].begin_ms + HOUR_MS:
        found.append((begin, hours[-1].begin_ms + HOUR_MS))
    return found


def make(what: Volume, folder: Path, clock: Clock, heard: Callable[[Made], None]) -> dict[str, Any]:
    """Make the log in an empty or absent folder; returns the report. Raises `ZjopsError`, and leaves nothing there."""
    made = open_folder(folder)
    try:
        return _Maker(what, folder, clock, heard).make()
    except OSError as exc:
        clear(folder, whole=made)
        raise StoreUnavailable(f"{folder}: {exc.strerror or exc}; free some space") from exc
    except duckdb.Error as exc:
        clear(folder, whole=made)
        raise StoreUnavailable(f"{folder}: {str(exc).splitlines()[0]}; free some space or memory") from exc
    except BaseException:
        clear(folder, whole=made)
        raise


class _Maker:
    def __init__(self, what: Volume, folder: Path, clock: Clock, heard: Callable[[Made], None]) -> None:
        self._what, self._folder, self._clock, self._heard = what, folder, clock, heard
        self._began = clock.monotonic()
        self._sql = parse(importlib.resources.files("simulator.world").joinpath("volume.sql").read_text())
        self._plans = _plans(what.tenants)
        self._events = self._sequence = self._jobs = self._batches = 0

    def make(self) -> dict[str, Any]:
        """Everything, chunk by chunk."""
        log = self._folder / "log"
        spill = self._folder / ".spill"
        with duckdb.connect(config={
            "memory_limit": MEMORY, "threads": min(4, os.cpu_count() or 1), "temp_directory": str(spill),
            "preserve_insertion_order": True,
        }) as db:  # fmt: skip
            hours = hours_of(self._what)
            self._jobs = hours[-1].after
            db.execute(self._text("macros"))
            db.execute("CREATE TABLE hours (begin_ms BIGINT, first BIGINT, after BIGINT)")
            db.execute("INSERT INTO hours SELECT unnest($1), unnest($2), unnest($3)", list(zip(*hours, strict=True)))
            self._write(db, "tenants", log / "ops", "ops", self._what.start_ms, 1, self._what.tenants)
            for begin_ms, until_ms in windows(hours):
                self._chunk(db, log / "events", begin_ms, until_ms)
        clear(spill, whole=True)
        self._mark()
        return self._report()

    def _text(self, name: str, **values: int) -> str:
        known = {"seed": self._what.seed, "start": self._what.start_ms, "batch_ms": BATCH_MS, "final_ms": FINAL_MS,
                 "life_ms": LIFE_MS, "gas": GAS, "tenants": self._what.tenants} | self._plans | values  # fmt: skip
        return Template(self._sql[name]).substitute(known)

    def _chunk(self, db: duckdb.DuckDBPyConnection, folder: Path, begin_ms: int, until_ms: int) -> None:
        db.execute(self._text("chunk", **{"from": begin_ms, "until": until_ms, "sequence": self._sequence}))
        found = db.execute("SELECT count(*), max(sequence), max(time) FILTER (kind = 3) FROM chunk").fetchone()
        assert found is not None
        count, sequence, final_ms = found
        if count:
            first = self._events + 1
            self._write(db, "write", folder, "events", begin_ms, first, self._events + count)
        if sequence:
            self._sequence = sequence
            self._batches = (final_ms - FINAL_MS - self._what.start_ms) // BATCH_MS
        self._events += count
        self._heard(Made(self._events, self._clock.monotonic() - self._began))

    def _write(
        self, db: duckdb.DuckDBPyConnection, name: str, folder: Path, prefix: str, at_ms: int, first: int, last: int
    ) -> None:
        day = folder / f"date={utc_date(at_ms)}"
        day.mkdir(parents=True, exist_ok=True)
        path = str(day / name_of(prefix, first, last)).replace("'", "''")
        query = self._text(name, offset=first - 1)
        db.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")

    def _mark(self) -> None:
        what = self._what
        mark(self._folder, {
            "kind": "arithmetic", "seed": what.seed, "days": what.days, "tenants": what.tenants,
            "from_ms": what.start_ms, "until_ms": what.start_ms + what.days * DAY_MS,
            MARK_LAST: {
                "EVENTS": self._events, "OPS": what.tenants, "TELEMETRY": 0, "outbox": what.tenants + self._events,
                "batches": self._batches,
            },
        })  # fmt: skip

    def _report(self) -> dict[str, Any]:
        seconds = self._clock.monotonic() - self._began
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        return {
            "schema": "zjops.volume/1", "seed": self._what.seed, "events": self._events, "jobs": self._jobs,
            "confirmed": self._sequence, "tenants": self._plans, "days": self._what.days,
            "folder": str(self._folder), "files": len(files), "bytes": sum(path.stat().st_size for path in files),
            "seconds": round(seconds, 1), "events_a_second": round(self._events / max(seconds, 0.001)),
        }  # fmt: skip


def _plans(tenants: int) -> dict[str, int]:
    paid = {plan: max(1, round(share * tenants)) for plan, share in SHARES.items()}
    return paid | {"free": tenants - sum(paid.values())}
