"""Compaction of the log: many small files become one whose range covers theirs, while everyone reads on.

The merged file is written beside and renamed; from then on it counts and those that it was made from do not (see
`zjops.domain.logfiles`). They go ten minutes later, so that whoever had begun to read them comes to an end. A crash
leaves either the old files, or the old ones and the new, and both read the same.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import polars as pl

from simulator.logfiles import WriteFile, drop_parts, write_file
from simulator.policy.compaction import KEEP_REPLACED_MS, Part, folds, is_to_fold, merges
from simulator.service import Looped, Offload
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import StoreUnavailable
from zjops.domain.logfiles import FOLDED, LogFile, log_files, those_replaced, those_that_count
from zjops.domain.requests import REQUEST_LOG

BESIDE = ".merge"
READ_AT_ONCE = 50
"""A frame of a few rows takes as much memory as one of a thousand: not all of an hour's files are held at once."""
HISTOGRAM = "latency_ms_histogram"
COUNTS = ("count", "within_300ms", "within_500ms", "errors_5xx", "timeouts")
WHOSE = ("second", "process", "source", "route", "method", "status", "plan")


class Log(NamedTuple):
    """A log's folder, and the column and unit of its rows' time."""

    name: str
    time: str
    unit_ms: int
    foldable: bool = False


LOGS = (Log("events", "time", 1), Log("ops", "time", 1), Log(REQUEST_LOG, "second", 1_000, foldable=True))


def fold_to_minutes(frame: pl.DataFrame) -> pl.DataFrame:
    """Request rows by the minute: `second` becomes the minute's first, every count the sum of its seconds'."""
    parts = []
    # Rows of another version may count by other boundaries; those stay apart.
    for part in frame.with_columns(width=pl.col(HISTOGRAM).list.len()).partition_by("width", maintain_order=True):
        columns = [f"{HISTOGRAM}.{index}" for index in range(part["width"][0])]
        sums = [pl.col(HISTOGRAM).list.get(index).sum().alias(name) for index, name in enumerate(columns)]
        parts.append(
            part.with_columns(second=pl.col("second") // 60 * 60)
            .group_by(WHOSE, maintain_order=True)
            .agg(*(pl.col(name).sum() for name in COUNTS), *sums)
            .with_columns(pl.concat_list(columns).alias(HISTOGRAM))
            .select(frame.columns)
        )
    return pl.concat(parts) if parts else frame


def _read(files: list[LogFile]) -> pl.DataFrame:
    """The rows of files in order; a column that only some have is empty in the others' rows."""
    found = pl.DataFrame()
    for start in range(0, len(files), READ_AT_ONCE):
        part = files[start : start + READ_AT_ONCE]
        frames = [pl.read_parquet(file.path, hive_partitioning=False, glob=False) for file in part]
        found = pl.concat([found, *frames] if start else frames, how="diagonal", rechunk=True)
    return found


class Compactor(Looped):
    """Looks every few minutes for files of an hour or day that has ended."""

    def __init__(
        self, log_dir: Path, clock: Clock, telemetry: Telemetry, *, every_s: float, offload: Offload,
        write: WriteFile = write_file,
    ) -> None:  # fmt: skip
        super().__init__("compaction")
        self._log_dir, self._clock, self._telemetry = log_dir, clock, telemetry
        self._every_s, self._offload, self._write_file = every_s, offload, write
        self._parts: dict[Path, Part | None] = {}
        self._replaced: dict[Path, int] = {}
        self._begun = False

    async def _run(self) -> None:
        while True:
            try:
                await self.tidy()
            except StoreUnavailable as exc:
                self._telemetry.log("warning", "compaction waits", reason=str(exc))
            await self._clock.sleep(self._every_s)

    async def tidy(self) -> int:
        """Merge what has ended, take away what was merged long enough ago; returns how many files were made.

        Raises `StoreUnavailable` when the log cannot be written.
        """
        if not self._begun:
            for log in LOGS:
                await self._offload(drop_parts, self._log_dir / log.name, BESIDE)
            self._begun = True
        now_ms = self._clock.now_ms()
        return sum([await self._offload(self._tidy, log, now_ms) for log in LOGS])

    def _tidy(self, log: Log, now_ms: int) -> int:
        files = log_files(self._log_dir / log.name)
        self._forget(log, files)
        self._drop_replaced(log, files, now_ms)
        counting = sorted(those_that_count(files), key=lambda file: file.day)
        days = groupby(counting, lambda file: file.day)
        return sum(self._tidy_day(log, day, list(group), now_ms) for day, group in days)

    def _tidy_day(self, log: Log, day: str, files: list[LogFile], now_ms: int) -> int:
        fold = log.foldable and is_to_fold(day, now_ms)
        if len(files) == 1 and (files[0].folded or not fold):
            # As a rule: a day that was merged long ago, which need not be opened again.
            return 0
        parts = {file: part for file in files if (part := self._part(log, file)) is not None}
        by_range = {(file.first, file.last): file for file in parts}
        chosen = (folds if fold else merges)(day, list(parts.values()), now_ms)
        return sum(self._merge([by_range[one.first, one.last] for one in group], fold=fold) for group in chosen)

    def _part(self, log: Log, file: LogFile) -> Part | None:
        """How much a file holds and until when; None for one that cannot be read, which is told once and left alone."""
        if file.path not in self._parts:
            try:
                rows, newest = (
                    pl.scan_parquet(file.path, hive_partitioning=False, glob=False)
                    .select(pl.len(), pl.col(log.time).max().alias("newest"))
                    .collect().row(0)
                )  # fmt: skip
                self._parts[file.path] = Part(file.first, file.last, rows, (newest or 0) * log.unit_ms, file.folded)
            except (pl.exceptions.PolarsError, OSError) as exc:
                self._telemetry.log("error", "a file of the log cannot be read", file=str(file.path), reason=str(exc))
                self._parts[file.path] = None
        return self._parts[file.path]

    def _merge(self, files: list[LogFile], *, fold: bool) -> int:
        """Make one file of several; returns 1, or 0 where they do not go together."""
        first, last, folder = files[0], files[-1], files[0].path.parent
        try:
            frame = _read(files)
            frame = fold_to_minutes(frame) if fold else frame
        except (pl.exceptions.PolarsError, OSError) as exc:
            self._telemetry.log("error", "files of the log cannot be merged", first=str(first.path), reason=str(exc))
            return 0
        self._write_file(frame, folder, FOLDED if fold else first.prefix, first.first, last.last, beside=BESIDE)
        self._telemetry.log(
            "info", "files of the log were merged", folder=str(folder), files=len(files), rows=len(frame)
        )
        return 1

    def _drop_replaced(self, log: Log, files: list[LogFile], now_ms: int) -> None:
        for file, cover in those_replaced(files):
            since = self._replaced.setdefault(file.path, now_ms)
            if now_ms - since >= KEEP_REPLACED_MS and self._part(log, cover) is not None:
                file.path.unlink(missing_ok=True)

    def _forget(self, log: Log, files: list[LogFile]) -> None:
        """Files that are gone need not be remembered."""
        folder, there = self._log_dir / log.name, {file.path for file in files}
        for known in (self._parts, self._replaced):
            for path in [path for path in known if path.is_relative_to(folder) and path not in there]:
                del known[path]
