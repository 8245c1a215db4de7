"""A line that says how far something is: drawn over on a terminal, now and then a new one in a file."""

from __future__ import annotations

import shutil
import sys

BAR = 24
TENTHS = 10


class Progress:
    """Talk, on the error stream. `quiet` says nothing."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what, self._quiet = what, quiet
        self._live = sys.stderr.isatty()
        self._told = 0
        self._drawn = False

    def reached(self, share: float, text: str, seconds: float) -> None:
        """So far, between 0 and 1; `text` is what there is by now."""
        if self._quiet:
            return
        share = min(1.0, max(0.0, share))
        left = f", {seconds * (1 - share) / share:.0f} s left" if share > 0.03 and seconds > 2 else ""
        said = f"{self._what} {100 * share:3.0f} %  {text}{left}"
        if self._live:
            full = round(BAR * share)
            line = f"[{'#' * full}{'.' * (BAR - full)}] {said}"
            print("\r" + line[: shutil.get_terminal_size().columns - 1] + "\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = True
        elif int(share * TENTHS) > self._told:
            self._told = int(share * TENTHS)
            print(said, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the terminal as it was."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._drawn = False
