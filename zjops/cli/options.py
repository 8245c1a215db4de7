"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zjops.cli.output import Format
from zjops.domain.errors import UsageError

Home = Annotated[Path | None, typer.Option("--home", help="Folder of the local platform.")]
ContextName = Annotated[str | None, typer.Option("--context", help="Which platform; see zjops context list.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to write data.")]
Json = Annotated[bool, typer.Option("--json", help="Short for -o json.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only data, no talk.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Whose credentials to use; the first known by default.")]
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
