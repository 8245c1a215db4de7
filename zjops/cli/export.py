"""export: documents that others read."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Annotated

import typer

from zjops.cli.focus import focus, focus_check
from zjops.cli.options import ContextName, Home, LogDir, log_folder
from zjops.cli.slo import SloFile
from zjops.client.http import Http
from zjops.config import resolve
from zjops.domain.errors import UnreachableError, UsageError

Target = Annotated[Path | None, typer.Option("-o", "--output", help="A file, or else standard output.")]
export = typer.Typer()


@export.command(help="The API's contract as OpenAPI 3.1.\n\nExample: zjops export openapi -o openapi.json")
def openapi(
    target: Target = None,
    live: Annotated[bool, typer.Option("--live", help="As a running platform serves it.")] = False,
    home: Home = None, context: ContextName = None,
) -> None:  # fmt: skip
    """Write the document."""
    if live:
        with Http(resolve(context, home).api_url) as http:
            text = http.request("GET", "/openapi.json").content.decode()
    else:
        text = importlib.resources.files("zjops").joinpath("openapi.json").read_text()
    _write(text, target)


@export.command(
    help="The logs' tables and views as SQL, for plain DuckDB and notebooks.\n\nExample: zjops export views > views.sql"
)
def views(
    target: Target = None, log: LogDir = None, home: Home = None, context: ContextName = None,
) -> None:  # fmt: skip
    """Write the views."""
    from zjops.analytics.viewfile import views_sql

    folder = log_folder(context, home, log)
    if not folder.is_dir():
        raise UnreachableError(f"there is no log in {folder}; has a platform run there?")
    _write(views_sql(folder), target)


@export.command("prometheus-rules", help=(
    "Recording and alerting rules for Prometheus, from the same objectives as zjops slo.\n\n"
    "Example: zjops export prometheus-rules -o zjops.rules.yaml"
))  # fmt: skip
def prometheus_rules(target: Target = None, slo_file: SloFile = None) -> None:
    """Write the rules."""
    from zjops.slo.catalogue import objectives_of
    from zjops.slo.prometheus import rules

    _write(rules(objectives_of(slo_file or ())), target)


@export.command(help=(
    "A Grafana dashboard over what the Prometheus rules record.\n\nExample: zjops export grafana -o dashboard.json"
))  # fmt: skip
def grafana(target: Target = None, slo_file: SloFile = None) -> None:
    """Write the dashboard."""
    from zjops.slo.catalogue import objectives_of
    from zjops.slo.grafana import dashboard

    _write(dashboard(objectives_of(slo_file or ())), target)


export.command("focus", help=(
    "Invoices as FOCUS cost and usage (FinOps Open Cost and Usage Specification), CSV or Parquet.\n\n"
    "Example: zjops export focus --month 2026-10 -o focus.csv"
))(focus)  # fmt: skip
export.command("focus-check", help=(
    "Hold a FOCUS file against the specification; says what was checked and what was not.\n\n"
    "Example: zjops export focus-check focus.csv"
))(focus_check)  # fmt: skip


def _write(text: str, target: Path | None) -> None:
    """To a file, or the standard output. Raises `UsageError`."""
    if target is None:
        typer.echo(text)
        return
    try:
        target.write_text(text)
    except OSError as exc:
        raise UsageError(f"{target} cannot be written ({exc.strerror})") from exc


groups = {"export": export}
commands: dict[str, object] = {}
