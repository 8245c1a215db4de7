"""Where the recordings of a context lie, and how a new one begins. Loads no client of anything."""

from __future__ import annotations

from pathlib import Path

from zjops.config import Context, find_home
from zjops.domain.clock import SystemClock, rfc3339
from zjops.recording.files import FOLDER, Limits, drop_old, new_file
from zjops.recording.recorder import Recorder


def recordings_folder(context: Context | None, home: Path | None = None) -> Path:
    """Where the recordings of a context lie: in its own folder, else in that of the local platform."""
    if context is not None and context.home is not None:
        return Path(context.home) / FOLDER
    folder = find_home(home) / FOLDER
    return folder if context is None else folder / context.name


def new_recorder(context: Context, clock: SystemClock, limits: Limits, path: Path | None = None) -> Recorder:
    """A recorder of a context, into a fresh file; former recordings beyond the limits go."""
    began = clock.now_ms()
    if path is None:
        folder = recordings_folder(context)
        if folder.is_dir():
            drop_old(folder, began, limits)
        path = new_file(folder, began)
    about = {"context": context.name, "api": context.api_url, "finality": context.finality, "began": rfc3339(began)}
    return Recorder(path, about, limits)
