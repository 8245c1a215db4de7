"""Pictures of the terminal, held against those in the repository; a helper of our own.

To look at new ones and keep them: `ZJOPS_PICTURES=write`, then see what git says has changed.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from textual.app import App

from zjops.tui.incident import own_picture, text_of

FOLDER = Path(__file__).parent / "snapshots"


def normalised(svg: str) -> str:
    """The same picture without what differs from run to run, and without any address of another machine."""
    found = re.search(r"terminal-(\d+)-", svg)
    if found is not None:
        svg = svg.replace(f"terminal-{found[1]}-", "t-")
    svg = own_picture(svg)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def same_picture(app: App[int], name: str) -> None:
    """Whether the screen looks as it did; the text that differs is told, for people read text sooner than SVG."""
    made, path = normalised(app.export_screenshot()), FOLDER / f"{name}.svg"
    if os.environ.get("ZJOPS_PICTURES") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(made)
    assert path.exists(), f"there is no picture {path.name}; make it with ZJOPS_PICTURES=write and look at it"
    known = path.read_text()
    if made != known:
        told = "\n".join(difflib.unified_diff(text_of(known), text_of(made), "known", "made", lineterm=""))
        raise AssertionError(f"{path.name} differs:\n{told or 'in its colours alone'}")


__all__ = ["FOLDER", "normalised", "same_picture", "text_of"]
