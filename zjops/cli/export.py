"""export: documents that others read."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Annotated

import typer

from zjops.cli.options import ContextName, Home
from zjops.client.http import Http
from zjops.config import resolve
from zjops.domain.errors import UsageError

export = typer.Typer()


@export.callback()
def _group() -> None:
    """Keeps `openapi` a command of its own."""


@export.command(help="The API's contract as OpenAPI 3.1.\n\nExample: zjops export openapi -o openapi.json")
def openapi(
    target: Annotated[Path | None, typer.Option("-o", "--output", help="A file, or else standard output.")] = None,
    live: Annotated[bool, typer.Option("--live", help="As a running platform serves it.")] = False,
    home: Home = None, context: ContextName = None,
) -> None:  # fmt: skip
    """Write the document."""
    if live:
        with Http(resolve(context, home).api_url) as http:
            text = http.request("GET", "/openapi.json").content.decode()
    else:
        text = importlib.resources.files("zjops").joinpath("openapi.json").read_text()
    if target is None:
        typer.echo(text)
    else:
        try:
            target.write_text(text)
        except OSError as exc:
            raise UsageError(f"{target} cannot be written ({exc.strerror})") from exc


groups = {"export": export}
commands: dict[str, object] = {}
