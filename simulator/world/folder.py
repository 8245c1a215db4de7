"""The folder that a world is written to: empty before, marked as synthetic after, clean when nothing came of it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import msgspec

from zjops.domain.clock import rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.synthetic import MARK, SCHEMA

MARK_LAST = "last"
PARTIAL = "PARTIAL"
"""Stands there while a world is being made: a folder that still has it was left behind by a killed process."""


def open_folder(folder: Path) -> bool:
    """Make the folder unless it is there and empty; whether it was made. Raises `UsageError`."""
    try:
        made = not folder.exists()
        if not made and any(folder.iterdir()):
            left = " (a world that was not finished)" if (folder / PARTIAL).exists() else ""
            raise UsageError(f"{folder} is not empty{left}; name a new folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PARTIAL).touch()
    except OSError as exc:
        raise UsageError(f"{folder} cannot be written ({exc.strerror}); name another folder with --out") from exc
    return made


def clear(folder: Path, *, whole: bool) -> None:
    """Take away what was begun there, and the folder too if it was made for it."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if whole:
        with contextlib.suppress(OSError):
            folder.rmdir()


def mark(folder: Path, said: dict[str, Any]) -> None:
    """Say beside the log that it is synthetic, how it was made, and up to which numbers; the folder is finished."""
    times = {"from": rfc3339(said.pop("from_ms")), "to": rfc3339(said.pop("until_ms"))}
    text = msgspec.json.encode({"schema": SCHEMA, "synthetic": True} | said | times)
    (folder / "log" / MARK).write_bytes(msgspec.json.format(text, indent=2) + b"\n")
    (folder / PARTIAL).unlink(missing_ok=True)
