"""Comparisons as documents, and the runs that they are made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from zjops.domain.errors import UsageError
from zjops.load import runs
from zjops.load.compare import Change, Compared, Made, blocks_of, compare
from zjops.load.measured import Measured
from zjops.load.records import read
from zjops.load.report.cases import Wrong, case, suite
from zjops.load.run import scenario_of

__all__ = ["SCHEMA", "compare", "junit", "made", "markdown_end", "rows", "side"]
SCHEMA, CLASS = "zjops.load.compare/1", "zjops.load.compare"


class _Detail(msgspec.Struct):
    began_ms: int
    flaws: list[Any]
    interrupted: bool = False
    gave_up: str | None = None


def side(given: str, home: Path) -> list[Made]:
    """The runs that somebody named: folders or names, with commas between, also with `*`. Raises `UsageError`."""
    folders = [folder for part in given.split(",") for folder in _folders(part.strip(), home)]
    return [made(folder) for folder in dict.fromkeys(folders)]


def _folders(given: str, home: Path) -> list[Path]:
    for base in (Path(), home / runs.RUNS):
        found = [folder.resolve() for folder in _matching(given, base) if (folder / runs.DETAIL).exists()]
        if found:
            return found
    raise UsageError(f"there is no finished run {given}, neither here nor in {home / runs.RUNS}")


def _matching(given: str, base: Path) -> list[Path]:
    if "*" not in given:
        return [base / given]
    try:
        return [] if Path(given).is_absolute() else sorted(base.glob(given))
    except ValueError as exc:
        raise UsageError(f"{given} is no pattern of folders ({exc})") from exc


def made(folder: Path) -> Made:
    """A run from its folder. Raises `UsageError`."""
    try:
        detail = msgspec.json.decode((folder / runs.DETAIL).read_bytes(), type=_Detail)
        same = hashlib.sha256((folder / runs.SCENARIO).read_bytes()).hexdigest()
    except OSError as exc:
        raise UsageError(f"{folder} is no finished run ({exc.strerror})") from exc
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{folder / runs.DETAIL}: {exc}") from exc
    measured = Measured(scenario_of(folder)).read(read(folder / runs.RECORDS))
    whole = not (detail.interrupted or detail.gave_up)
    return Made(folder.name, detail.began_ms, not detail.flaws, same, blocks_of(measured), whole)


def rows(compared: Compared) -> list[dict[str, Any]]:
    """A row a percentile."""
    return [
        {
            "percentile": f"p{change.percentile:g}", "first_ms": round(change.first_ms, 3),
            "second_ms": round(change.second_ms, 3), "ratio": round(change.ratio, 3), "low": round(change.low, 3),
            "high": round(change.high, 3), "verdict": change.verdict,
        }
        for change in compared.changes
    ]  # fmt: skip


def markdown_end(compared: Compared) -> str:
    """What comes after the table where the document is read by itself: the verdict, and why nothing can be told."""
    doubts = [f"- doubtful: {doubt}" for doubt in compared.doubts]
    return "\n".join(["", f"**Verdict: {compared.verdict}**", *([""] if doubts else []), *doubts])


def junit(compared: Compared) -> str:
    """For CI: a regression is a failure, what cannot be told an error."""
    cases = [case(CLASS, f"p{change.percentile:g}", _wrong(change)) for change in compared.changes]
    cases += [case(CLASS, "comparable", ("error", doubt)) for doubt in compared.doubts]
    return suite("zjops load compare", cases)


def _wrong(change: Change) -> Wrong | None:
    if change.verdict == "same":
        return None
    text = f"{change.ratio:.3f} times the first, {change.low:.3f} to {change.high:.3f} with 95 %"
    return "failure" if change.verdict == "regression" else "error", text
