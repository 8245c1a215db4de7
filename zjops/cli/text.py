"""Text for terminals, and paths as people write them."""

from __future__ import annotations

from pathlib import Path

from zjops.domain.text import one_line, plain, plain_json, shortened

__all__ = ["near", "one_line", "plain", "plain_json", "shortened"]


def near(path: Path) -> Path:
    """A path as people here would write it: from where they are, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
