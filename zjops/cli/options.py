"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from zjops.cli.output import Format
from zjops.domain.errors import UsageError

Home = Annotated[Path | None, typer.Option("--home", help="Folder of the local platform.")]
ContextName = Annotated[str | None, typer.Option("--context", help="Which platform; see zjops context list.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to write data.")]
Json = Annotated[bool, typer.Option("--json", help="Short for -o json.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only data, no talk.")]
LogFolder = Annotated[Path | None, typer.Option("--log", help="A folder of logs, instead of the context's.")]
ShowSql = Annotated[bool, typer.Option("--show-sql", help="Also print the SQL behind it, on the error stream.")]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Whose credentials to use; the first known by default.")]
HistoryFile = Annotated[Path | None, typer.Option("--history", help="Append what the API answered to this file.")]


def log_folder(given: Path | None, context: str | None, home: Path | None) -> Path:
    """The logs to read: those named, or else the context's, of a platform that need not run. Raises `UsageError`."""
    from zjops.config import resolve

    if given is not None:
        return given.expanduser()
    found = resolve(context, home, alive=False)
    if found.log_dir is None:
        raise UsageError(f"context {found.name} names no log folder (log_dir)")
    return Path(found.log_dir)


@contextmanager
def shown_sql(wanted: bool) -> Iterator[None]:
    """Print what is asked of the logs meanwhile, each statement once and ready to be pasted into `zjops query`."""
    if not wanted:
        yield
        return
    import sys

    from zjops.analytics.statements import recording, rendered

    with recording() as asked:
        yield
    for text in dict.fromkeys(map(rendered, asked)):
        print(text, end="\n\n", file=sys.stderr)


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
