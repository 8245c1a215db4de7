"""Reading a recording, as of any moment: lists page by key, so that a million jobs cost what a screenful does."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from zjops.domain.errors import UsageError
from zjops.recording.files import APPLICATION_ID, VERSION, check_file, damaged
from zjops.recording.filters import ATTEMPT_AT, EVERYTHING, STATE_AT, Filter
from zjops.recording.rows import COLUMNS, Act, BatchRow, Depth, ErrorGroup, JobRow, OpenBatches, Outage, Second, Traffic
from zjops.recording.statements import statement

Model = TypeVar("Model")
SORTS = {
    "age": "n", "took": "coalesce(CASE WHEN ended_at <= :at THEN ended_at END, :at) - accepted_at",
    "units": "compute_units", "attempt": ATTEMPT_AT,
}  # fmt: skip
"""By what jobs can be sorted, most first; `age` is the order in which they came, newest first."""


class Sort(NamedTuple):
    """An order of jobs: by a name of `SORTS`, or turned round."""

    by: str = "age"
    turned: bool = False


NEWEST_FIRST = Sort()
Key = tuple[int, int]
"""A place in a sorted list: what it is sorted by, and `n`."""


class Recording:
    """A recording that is read; from several threads, one at a time. Raises `UsageError` for a damaged file."""

    def __init__(self, path: Path) -> None:
        check_file(path)
        self.path = path
        self.lock = threading.Lock()
        self.stand_in: sqlite3.Connection | None = None
        """What is read instead of the file, while that cannot be written; to be changed under the lock."""
        with damaged(path):
            self._db = sqlite3.connect(f"file:{path}?mode=rw", uri=True, check_same_thread=False)
            self._db.execute("PRAGMA cache_size = -8000")
            identity = self._db.execute("PRAGMA application_id").fetchone()[0]
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if identity != APPLICATION_ID or version != VERSION:
            raise UsageError(f"recording {path} has version {version}; this zjops reads version {VERSION}")

    def check(self) -> None:
        """Go through the whole file. Raises `UsageError` when a part of it is damaged."""
        found = self._ask("PRAGMA quick_check(1)", ())
        if found[0][0] != "ok":
            raise UsageError(f"recording {self.path} is damaged ({found[0][0]}); take another copy of it")

    def close(self) -> None:
        """Let go of the file; safe twice."""
        with self.lock:
            self._db.close()

    def _ask(self, sql: str, params: Sequence[Any] | dict[str, Any]) -> list[Any]:
        with self.lock, damaged(self.path):
            return (self.stand_in or self._db).execute(sql, params).fetchall()

    def about(self) -> dict[str, str]:
        """What was recorded: context, platform and when it began."""
        return dict(self._ask("SELECT name, value FROM about", ()))

    def span(self) -> tuple[int, int] | None:
        """First and last moment that it holds."""
        first, last = self._ask(statement("span"), ())[0]
        return None if first is None else (first, last)

    def page(
        self, at: int, *, where: Filter = EVERYTHING, sort: Sort = NEWEST_FIRST, key: Key | None = None,
        backwards: bool = False, limit: int = 100,
    ) -> list[tuple[Key, JobRow]]:  # fmt: skip
        """Jobs as of a moment, in order, after a place (or before it), each with its own place."""
        up = sort.turned != backwards
        order, compare = ("ASC", ">") if up else ("DESC", "<")
        by = SORTS[sort.by]
        params: dict[str, Any] = {"at": at, "limit": limit} | where.params
        conditions = ["seen_at <= :at", where.sql]
        if key is not None:
            params |= {"by": key[0], "n": key[1]}
            conditions.append(f"n {compare} :n" if by == "n" else f"({by}, n) {compare} (:by, :n)")
        ordered = f"n {order}" if by == "n" else f"{by} {order}, n {order}"
        # Sorted by numbers alone, and only a page of jobs is read: whole rows would be sorted ten times slower.
        found = self._ask(
            f"SELECT place, {', '.join(COLUMNS)} FROM (SELECT n AS place_n, {by} AS place FROM jobs"  # noqa: S608
            f" WHERE {' AND '.join(conditions)} ORDER BY {ordered} LIMIT :limit) JOIN jobs ON n = place_n"
            f" ORDER BY place {order}, n {order}", params,
        )  # fmt: skip
        rows = [((row[0], row[1]), JobRow(*row[1:]).as_of(at)) for row in found]
        return rows[::-1] if backwards else rows

    def count(self, at: int, where: Filter = EVERYTHING) -> int:
        """How many jobs pass a filter at a moment."""
        sql = f"SELECT count(*) FROM jobs WHERE seen_at <= :at AND {where.sql}"  # noqa: S608 - values are named
        return int(self._ask(sql, {"at": at} | where.params)[0][0])

    def states(self, at: int) -> dict[str, int]:
        """How many jobs were in which state."""
        return dict(self._ask(
            f"SELECT {STATE_AT} AS s, count(*) FROM jobs WHERE seen_at <= :at GROUP BY s", {"at": at}  # noqa: S608
        ))  # fmt: skip

    def job(self, job_id: str, at: int) -> JobRow | None:
        """One job as of a moment; None before the first that was heard of it."""
        found = self._ask(statement("job_named"), (job_id, at))
        return JobRow(*found[0]).as_of(at) if found else None

    def numbered(self, n: int) -> JobRow | None:
        """The job at a place in the order in which jobs came."""
        found = self._ask(statement("job_numbered"), (n,))
        return JobRow(*found[0]) if found else None

    def tenants(self, most: int = 200) -> list[str]:
        """Whose jobs there are."""
        return [row[0] for row in self._ask(statement("tenants_seen"), (most,))]

    def series(self, first_s: int, last_s: int, bucket_s: int = 1) -> list[Second]:
        """Events by so many seconds, each told by its first; those without any are left out."""
        asked = {"first": first_s, "last": last_s, "bucket": bucket_s}
        return [Second(*row) for row in self._ask(statement("series"), asked)]

    def request_series(self, first_s: int, last_s: int, bucket_s: int = 1) -> list[tuple[int, int, int]]:
        """Answered requests by so many seconds: the first of them, all, bad ones."""
        return self._ask(statement("request_series"), {"first": first_s, "last": last_s, "bucket": bucket_s})

    def traffic(self, first_s: int, last_s: int) -> list[Traffic]:
        """Answered requests by second, source and plan."""
        rows = self._ask(statement("traffic"), (first_s, last_s))
        return [Traffic._make((*row[:9], tuple(self._json("requests", row[9], list[int])))) for row in rows]

    def request_sums(self, first_s: int, last_s: int) -> list[tuple[str, str, int, int, int, int, int]]:
        """Answered requests by source and plan: all, good, bad, within 300 and 500 ms."""
        return self._ask(statement("request_sums"), (first_s, last_s))

    def depths(self, at: int) -> dict[str, Depth]:
        """What waited at a moment, by the state of the jobs."""
        return {stage: Depth(jobs, oldest) for stage, jobs, oldest in self._ask(statement("depths_at"), (at,))}

    def depth_series(self, first_ms: int, last_ms: int) -> list[tuple[int, str, int]]:
        """What waited, by second and state."""
        return self._ask(statement("depth_series"), (first_ms, last_ms))

    def oldest_series(self, stage: str, last_ms: int) -> list[tuple[int, int | None]]:
        """At every look up to a moment: since when the oldest job waited at a stage, None where none did."""
        return self._ask(statement("oldest_series"), (stage, last_ms))

    def readings(self, kind: str, last_ms: int, model: type[Model]) -> Iterator[tuple[int, Model]]:
        """Every answer of a kind up to a moment that differs from the one before, decoded one at a time."""
        for row in self._ask(statement("readings_until"), (kind, last_ms)):
            found = self._decoded(kind, [row], model)
            assert found is not None
            yield found

    def reading(self, kind: str, at: int, model: type[Model]) -> tuple[int, Model] | None:
        """The newest answer of a kind up to a moment, and since when it was the same."""
        return self._decoded(kind, self._ask(statement("reading_at"), (kind, at)), model)

    def first_reading(self, kind: str, model: type[Model]) -> tuple[int, Model] | None:
        """The oldest answer of a kind."""
        return self._decoded(kind, self._ask(statement("first_reading"), (kind,)), model)

    def _decoded(self, kind: str, found: list[Any], model: type[Model]) -> tuple[int, Model] | None:
        return (found[0][0], self._json(kind, found[0][1], model)) if found else None

    def _json(self, kind: str, text: str, model: type[Model]) -> Model:
        try:
            return msgspec.json.decode(text, type=model)
        except msgspec.MsgspecError as exc:
            raise UsageError(f"recording {self.path}: {kind} cannot be read ({exc})") from exc

    def outages(self, at: int) -> list[Outage]:
        """Which sources did not answer at a moment."""
        return [Outage(*row) for row in self._ask(statement("outages_at"), (at, at))]

    def outage_spans(self, last_ms: int) -> list[tuple[Outage, int | None]]:
        """Every time that a source went away up to a moment, and when it came back."""
        return [(Outage(row[0], row[1], row[3]), row[2]) for row in self._ask(statement("outage_spans"), (last_ms,))]

    def away_ms(self, source: str, first_ms: int, last_ms: int) -> int:
        """For how long a source was away between two moments."""
        asked = {"source": source, "first": first_ms, "last": last_ms}
        return int(self._ask(statement("away_ms"), asked)[0][0] or 0)

    def held(self) -> int:
        """How many jobs there are, whatever the moment; told without counting those of a file."""
        if self.stand_in is not None:
            return int(self._ask("SELECT count(*) FROM jobs", ())[0][0])
        first, last = self._ask(statement("job_span"), ())[0]
        return 0 if first is None else int(last - first + 1)

    def batches(self, at: int, most: int = 200) -> list[BatchRow]:
        """Batches, newest first."""
        return [BatchRow(*row).as_of(at) for row in self._ask(statement("batches_at"), (at, most))]

    def open_batches(self, at: int) -> OpenBatches:
        """All batches that were not final at a moment, however many."""
        found = {row[0]: row[1:] for row in self._ask(statement("open_batches_at"), {"at": at})}
        if not found:
            return OpenBatches()
        _, held, oldest, newest = zip(*found.values(), strict=True)
        states = {state: numbers[0] for state, numbers in found.items()}
        return OpenBatches(**states, jobs=sum(held), oldest_at=min(oldest), newest=max(newest))

    def batch_after(self, from_ms: int, at: int) -> BatchRow | None:
        """The first batch that was closed from a moment on and is not final: the one that must hold what ended then."""
        found = self._ask(statement("batch_after"), {"from": from_ms, "at": at})
        return BatchRow(*found[0]).as_of(at) if found else None

    def batch_spans(self, last_ms: int) -> list[tuple[int, int | None]]:
        """When each batch up to a moment was closed, and when it became final."""
        return self._ask(statement("batch_spans"), (last_ms,))

    def batch_series(self, first_ms: int, last_ms: int) -> list[tuple[int, int]]:
        """How many batches were closed in which second."""
        return self._ask(statement("batch_series"), (first_ms, last_ms))

    def batch(self, number: int, at: int) -> BatchRow | None:
        """One batch as of a moment."""
        found = self._ask(statement("batch"), (number,))
        return BatchRow(*found[0]).as_of(at) if found else None

    def acts(self, at: int, most: int = 50) -> list[Act]:
        """What operators and policies did, newest first."""
        return [Act(*row) for row in self._ask(statement("acts_at"), (at, most))]

    def errors(self, first_ms: int, last_ms: int) -> list[ErrorGroup]:
        """Failures of a range, most frequent first."""
        return [ErrorGroup(*row) for row in self._ask(statement("errors"), (first_ms, last_ms))]
