"""Writing one file of the log: all of it is there under its name, or nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl

from zjops.domain.clock import utc_date
from zjops.domain.errors import StoreUnavailable
from zjops.domain.logfiles import name_of

REQUEST_SCHEMA: dict[str, pl.DataType] = {
    "second": pl.Int64(), "process": pl.String(), "source": pl.String(), "route": pl.String(), "method": pl.String(),
    "status": pl.Int32(), "plan": pl.String(), "count": pl.Int64(), "within_300ms": pl.Int64(),
    "within_500ms": pl.Int64(), "errors_5xx": pl.Int64(), "timeouts": pl.Int64(),
    "latency_ms_histogram": pl.List(pl.Int64()),
}  # fmt: skip
"""The request log's columns: those of `zjops.domain.requests.Rollup`."""


WriteFile = Callable[..., Path]
"""`write_file`, or what stands around it."""


def day_folder(log: Path, at_ms: int) -> Path:
    """Where what happened at a moment stands, by the UTC day."""
    return log / f"date={utc_date(at_ms)}"


def write_file(frame: pl.DataFrame, folder: Path, prefix: str, first: int, last: int, *, beside: str = ".part") -> Path:
    """Write rows under the name of their range: beside, to the disk, then renamed. Raises `StoreUnavailable`."""
    target = folder / name_of(prefix, first, last)
    part = folder / f".{target.name}{beside}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(part, compression="zstd")
        _sync(part)
        part.replace(target)
        _sync(folder)
    # A disk that fills up while pages are written is an error of Polars' own.
    except (OSError, pl.exceptions.ComputeError) as exc:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        why = getattr(exc, "strerror", None) or str(exc)
        raise StoreUnavailable(f"log folder {folder}: {why}; free some space") from exc
    return target


def drop_parts(log: Path, beside: str = ".part") -> None:
    """Take away what a killed writer had not finished."""
    for path in log.glob(f"date=*/.*{beside}"):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
