"""An incident folder: what was on the screen, what was recorded around it, and the command that opens it there."""

from __future__ import annotations

import html
import itertools
import re
from pathlib import Path

from zjops.domain.clock import rfc3339
from zjops.domain.errors import FileUnavailable
from zjops.recording.cut import cut
from zjops.recording.reader import Recording
from zjops.tui.moment import Instant

RECORDING, PICTURE, TEXT, COMMAND = "recording.zjrec", "picture.svg", "screen.txt", "open.txt"
BEFORE_MS = 3_600_000
"""At least so much before the instant goes along."""


def own_picture(svg: str) -> str:
    """A picture that loads nothing from elsewhere: fonts are those of whoever looks at it."""
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("<!-- Generated with Rich https://www.textualize.io -->", "")
    return svg.replace("Fira Code, monospace", "Fira Code, DejaVu Sans Mono, Menlo, Consolas, monospace")


def text_of(svg: str) -> list[str]:
    """The lines of text of a picture."""
    rows: dict[float, list[tuple[float, str]]] = {}
    found = re.findall(r'<text (?![^>]*-title")[^>]*x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg, re.DOTALL)
    for x, y, text in found:
        rows.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ").replace("\n", "")))
    return ["".join(text for _, text in sorted(rows[y])).rstrip() for y in sorted(rows)]


def _new(wanted: Path) -> Path:
    """A folder of that name, or of the next one with a number. Raises `OSError`."""
    for number in itertools.count(1):
        made = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            made.mkdir(parents=True)
        except FileExistsError:
            continue
        return made
    raise AssertionError("unreachable")


def write_incident(folder: Path, recording: Recording, instant: Instant, svg: str) -> Path:
    """Write all of it into a folder that is named by the instant. Raises `FileUnavailable`."""
    stamp = rfc3339(instant.at_ms)
    made = folder / stamp[:19].replace(":", "").replace("-", "")
    try:
        made = _new(made)
        (made / PICTURE).write_text(own_picture(svg))
        (made / TEXT).write_text("\n".join(text_of(svg)) + "\n")
        (made / COMMAND).write_text(f"zjops top --replay {made / RECORDING} --at {stamp}\n")
    except OSError as exc:
        raise FileUnavailable(f"{made} cannot be written ({exc.strerror})", "incident") from exc
    first = min(instant.first_ms, instant.at_ms - BEFORE_MS)
    cut(recording, made / RECORDING, first, instant.at_ms)
    return made
