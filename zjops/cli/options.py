"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zjops.cli.output import Format
from zjops.domain.errors import UsageError

if TYPE_CHECKING:
    from zjops.analytics.statements import Asked

Home = Annotated[Path | None, typer.Option("--home", help="Folder of the local platform.")]
ContextName = Annotated[str | None, typer.Option("--context", help="Which platform; see zjops context list.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to write data.")]
Json = Annotated[bool, typer.Option("--json", help="Short for -o json.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only data, no talk.")]
ShowSql = Annotated[bool, typer.Option("--show-sql", help="Print the SQL behind it, not the result.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Whose credentials to use; the first known by default.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Goes into the audit log.")]
HistoryFile = Annotated[Path | None, typer.Option("--history", help="Append what the API answered to this file.")]


def agree(yes: bool) -> None:
    """Ask before something is done, unless that was agreed to. Raises `UsageError` where nobody can be asked."""
    import sys

    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nothing was done: say --yes where nobody can be asked")
    if not typer.confirm("do it?", err=True):
        raise typer.Exit(0)


def read_text(given: str) -> bytes:
    """A value itself, the content of a file for `@FILE`, or the standard input for `-`. Raises `UsageError`."""
    import sys

    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return given.encode()
    try:
        return Path(given[1:]).read_bytes()
    except OSError as exc:
        raise UsageError(f"{given[1:]} cannot be read ({exc.strerror})") from exc


def read_object(given: str, name: str) -> dict[str, object]:
    """A JSON object from an option. Raises `UsageError`."""
    import msgspec

    try:
        return msgspec.json.decode(read_text(given), type=dict[str, object])
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{name} is not a JSON object: {exc}") from exc


LogDir = Annotated[Path | None, typer.Option("--log", help="A log folder, such as DIR/log of zjops simulate.")]


def log_folder(context: str | None, home: Path | None, log: Path | None) -> Path:
    """The log that a command reads: the folder that is named, else the context's. Raises `UsageError`."""
    from zjops.config import resolve

    if log is not None:
        if (log / "log").is_dir() and not (log / "events").is_dir():
            raise UsageError(f"{log} is the folder around a log; give --log {log / 'log'}")
        return log
    found = resolve(context, home, alive=False)
    if found.log_dir is None:
        raise UsageError(f"context {found.name} names no log folder (log_dir)")
    return Path(found.log_dir)


def show_sql(asked: Iterable[Asked]) -> None:
    """Print what was asked of the warehouse (see `recording`), each statement once, fit for `zjops query`."""
    from zjops.analytics.statements import rendered

    print("\n\n".join(f"{text};" for text in dict.fromkeys(map(rendered, asked))))
