"""query: one SELECT over the logs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, log_folder
from zjops.cli.output import Format, Out
from zjops.domain.clock import rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.synthetic import and_synthetic

LIMIT = 1_000
MOST = 10_000_000


def query(
    sql: Annotated[str | None, typer.Argument(help="One SELECT, or - for standard input.")] = None,
    limit: Annotated[int, typer.Option(help="The most rows to show.", min=1, max=MOST)] = LIMIT,
    schema: Annotated[bool, typer.Option("--schema", help="List tables, views and their columns.")] = False,
    param: Annotated[list[str] | None, typer.Option(help="name=value for $name in the SQL; repeatable.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds until it is given up.", min=0.001)] = 60,
    memory: Annotated[str, typer.Option(help="The most memory, such as 2GB; what does not fit is spilled.")] = "1GB",
    log: LogDir = None, home: Home = None, context: ContextName = None, output: Output = Format.TABLE,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Ask the logs. Nothing can be written, and nothing but the logs can be read."""
    out, folder = Out(output, json, quiet), log_folder(context, home, log)
    if schema:
        out.rows("zjops.schema/1", _schema(folder), ["table", "column", "type", "meaning"])
        return
    if sql is None:
        raise UsageError("a query is one SELECT; see what there is: zjops query --schema")
    _ask(out, folder, sys.stdin.read() if sql == "-" else sql, limit, {
        "params": _params(param or []), "memory": memory, "timeout_s": timeout, "threads": os.cpu_count() or 1,
    })  # fmt: skip


def _ask(out: Out, folder: Path, text: str, limit: int, settings: dict[str, Any]) -> None:
    from zjops.analytics.query import Answer, ask, ask_frame

    answer: Answer[Any]
    if out.format is Format.PARQUET:
        answer = ask_frame(folder, text, limit=limit, **settings)
        out.frame(answer.rows)
    else:
        answer = ask(folder, text, limit=limit, **settings)
        out.rows("zjops.query/1", answer.rows, answer.columns)
    count = len(answer.rows)
    rows = f"{count:,} rows" if count != 1 else "1 row"
    said = (
        f"the first {rows.removeprefix('1 ') if count == 1 else rows}, there are more; raise --limit"
        if answer.more
        else rows
    )
    reached = f"log complete to {rfc3339(answer.watermark)}" if answer.watermark else "no event yet"
    out.say(f"{said}; {reached}{and_synthetic(folder)}")


def _params(given: list[str]) -> dict[str, Any]:
    """`name=value` each; whole numbers are numbers, everything else is text."""
    made: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--param is name=value, not {pair}")
        made[name] = int(value) if value.removeprefix("-").isdecimal() else value
    return made


def _schema(folder: Path) -> list[dict[str, Any]]:
    from zjops.analytics.query import catalogue

    return catalogue(folder)


commands = {"query": query}
