"""demo: the whole platform at work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zjops.cli.exits import CHECK_FAILED
from zjops.cli.options import Json


def demo(
    json: Json = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the platform up, with commands to try.")] = False,
    step: Annotated[bool, typer.Option("--step", help="Wait for Enter between the acts.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Keep history, proofs, invoice and audit there.")] = None,
) -> None:
    """Start a fresh platform, put it through its paces, kill a part of it, and prove that every job came out right."""
    from zjops.demo.run import run

    if not run(as_json=json, keep=keep, step=step, out=out):
        raise typer.Exit(CHECK_FAILED)


commands = {"demo": demo}
