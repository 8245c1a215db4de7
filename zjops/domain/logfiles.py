"""The names of the log's files: each says which numbers it holds, and thereby which files count.

`<prefix>-<first>-<last>.parquet` below `date=YYYY-MM-DD/`, both numbers of 20 digits and included. A file whose range
lies inside another's was merged into that one and does not count any more, though it stays for a while for those who
read it. Of two with the same range the one that was folded counts.

The numbers are the sequences of the log's stream. The prober's rows come from no stream: theirs begin where no stream
gets, so that its files and those of the stream never hide each other.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(\w+)-(\d{20})-(\d{20})\.parquet")
FOLDED = "minutes"
"""The prefix of request rows that were folded from seconds to minutes."""
PROBER_FIRST = 10**18
"""The number of a prober's first row."""


class LogFile(NamedTuple):
    """One file of a log and the range of numbers that it holds."""

    first: int
    last: int
    prefix: str
    path: Path

    @property
    def day(self) -> str:
        """The day of its folder, `YYYY-MM-DD`."""
        return self.path.parent.name.removeprefix("date=")

    @property
    def folded(self) -> bool:
        """Whether its rows are minutes."""
        return self.prefix == FOLDED


def log_file(path: Path) -> LogFile | None:
    """What a file's name says; None when it is not one of a log."""
    found = _NAME.fullmatch(path.name)
    return LogFile(int(found[2]), int(found[3]), found[1], path) if found else None


def name_of(prefix: str, first: int, last: int) -> str:
    """The name of the file that holds a range."""
    return f"{prefix}-{first:020d}-{last:020d}.parquet"


def log_files(folder: Path) -> list[LogFile]:
    """Every file of a log in the order of its numbers, one that covers others before them."""
    found = [file for path in folder.glob("date=*/*.parquet") if (file := log_file(path))]
    return sorted(found, key=lambda file: (file.first, -file.last, not file.folded, file.path))


def those_that_count(files: list[LogFile]) -> list[LogFile]:
    """The same without those whose range another covers; `files` are in the order of `log_files`."""
    return _split(files)[0]


def those_replaced(files: list[LogFile]) -> list[tuple[LogFile, LogFile]]:
    """Those that do not count, each with one that holds what it holds; `files` are in the order of `log_files`."""
    return _split(files)[1]


def _split(files: list[LogFile]) -> tuple[list[LogFile], list[tuple[LogFile, LogFile]]]:
    chosen: list[LogFile] = []
    replaced: list[tuple[LogFile, LogFile]] = []
    for file in files:
        if chosen and file.last <= chosen[-1].last:
            replaced.append((file, chosen[-1]))
        else:
            chosen.append(file)
    return chosen, replaced
