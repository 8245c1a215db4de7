"""The folders of runs: `runs/<time>-<name>` in the home, and `latest`, which leads to the newest."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from zjops.domain.clock import rfc3339
from zjops.domain.errors import UsageError

RUNS, LATEST = "runs", "latest"
SCENARIO, RECORDS, DETAIL, SUMMARY = "scenario.json", "records.jsonl", "detail.json", "summary.json"
HISTORY, LOG = "history.jsonl", "generator.log"


def folder_of(home: Path, name: str, now_ms: int) -> Path:
    """Where a run of a moment goes, which need not exist."""
    stamp = rfc3339(now_ms)[:19].replace("-", "").replace(":", "")
    return home / RUNS / f"{stamp}-{name}"


def new_folder(home: Path, name: str, now_ms: int, out: Path | None = None) -> Path:
    """A fresh folder for a run; `out` is one that somebody named. Raises `UsageError`.

    `latest` is set to it where it lies among the runs of the home.
    """
    made = _made(_free(folder_of(home, name, now_ms)) if out is None else out)
    if made.resolve().parent == (home / RUNS).resolve():
        _lead_to(made.resolve())
    return made


def _free(base: Path) -> Path:
    """The folder, or the first of those with a number that does not exist."""
    number, folder = 1, base
    while folder.exists():
        number, folder = number + 1, base.with_name(f"{base.name}-{number + 1}")
    return folder


def _lead_to(made: Path) -> None:
    link, beside = made.with_name(LATEST), made.with_name(f".{LATEST}.{os.getpid()}")
    with contextlib.suppress(OSError):
        beside.unlink(missing_ok=True)
        beside.symlink_to(made.name)
        beside.replace(link)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; name another folder")
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written ({exc.strerror})") from exc
    return folder


def write_json(path: Path, value: Any) -> None:
    """Write a document."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def join_history(folder: Path) -> Path:
    """One history of those that each process of the generator wrote."""
    target = folder / HISTORY
    parts = sorted(folder.glob("history-*.jsonl"))
    with target.open("wb") as out:
        for part in parts:
            data = part.read_bytes()
            # A process that was killed may have left half a line, which must not spoil the next file's first.
            out.write(data if data.endswith(b"\n") or not data else data[: data.rfind(b"\n") + 1])
            part.unlink()
    return target
