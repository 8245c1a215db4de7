"""export focus and export focus-check: invoices as the FinOps Open Cost and Usage Specification has them."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from zjops.cli.billing import PRICES, month_of
from zjops.cli.exits import CHECK_FAILED
from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, log_folder
from zjops.cli.output import Format, Out
from zjops.domain.clock import rfc3339
from zjops.domain.errors import InvariantError, UsageError

if TYPE_CHECKING:
    from zjops.analytics.focus.rules import Checked


class Version(enum.StrEnum):
    """The versions of FOCUS whose columns stand here."""

    V1_2 = "1.2"
    V1_4 = "1.4"


class File(enum.StrEnum):
    """How a FOCUS file is written."""

    CSV = "csv"
    PARQUET = "parquet"


VERSION = Annotated[Version, typer.Option("--focus-version", help=(
    "1.4: the columns of its dataset Cost and Usage; its other datasets are not written, and of its rules those are "
    "checked that 1.2 had."
))]  # fmt: skip
GUESSED = Annotated[Version | None, typer.Option("--focus-version", help="By the file's columns unless said.")]


def focus(
    month: Annotated[str, typer.Option(help="YYYY-MM in UTC.")],
    form: Annotated[File | None, typer.Option("--format", help="By the file's ending, else csv.")] = None,
    target: Annotated[Path | None, typer.Option("-o", "--output", help="A file, or else standard output.")] = None,
    version: VERSION = Version.V1_2, tenant: Annotated[str | None, typer.Option(help="One tenant only.")] = None,
    prices: PRICES = None, log: LogDir = None, home: Home = None, context: ContextName = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write the invoices of a month as FOCUS cost and usage; the rows of an invoice add up to its total."""
    from zjops.analytics.focus.columns import spec
    from zjops.analytics.focus.files import table_of, write_csv, write_parquet
    from zjops.analytics.focus.rows import all_rows
    from zjops.analytics.focus.rules import check
    from zjops.analytics.issued import book_of
    from zjops.domain.invoices import DRAFT, dollars

    chosen, out = form or File("parquet" if target and target.suffix == ".parquet" else "csv"), Out(quiet=quiet)
    folder, known = log_folder(context, home, log), spec(version)
    found = month_of(month, folder, prices, tenant)
    rows = all_rows(found.invoices, book_of(folder, month, prices), version)
    checked = check(table_of(rows), known)
    for wrong in (one for one in checked if one.violations):
        raise InvariantError(f"these rows would break FOCUS {version}, {wrong.rule} ({wrong.asks}): {wrong.why}")
    _write(write_csv(rows) if chosen is File.CSV else write_parquet(rows, known), chosen, target)
    total = dollars(sum(invoice.total_cents for invoice in found.invoices))
    state = "draft invoices" if any(invoice.state == DRAFT for invoice in found.invoices) else "invoices"
    out.say(
        f"{len(rows):,} rows of {len(found.invoices):,} {state}, {total}, the log complete to "
        f"{rfc3339(found.watermark_ms)}; {_told(checked, version)}"
    )


def _write(data: bytes, form: File, target: Path | None) -> None:
    if target is None:
        if form is File.PARQUET and sys.stdout.isatty():
            raise UsageError("parquet is for a file or a pipe, not for a terminal; add: -o focus.parquet")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        target.write_bytes(data)
    except OSError as exc:
        raise UsageError(f"{target} cannot be written ({exc.strerror})") from exc


def _told(checked: list[Checked], version: str) -> str:
    seen = sum(one.checked for one in checked)
    return f"FOCUS {version}: {seen} rules checked, {len(checked) - seen} not; see: zjops export focus-check FILE"


def focus_check(
    file: Annotated[Path, typer.Argument(help="A FOCUS file, CSV or Parquet.")],
    version: GUESSED = None, output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Hold a file against FOCUS: the version, each rule and whether it was checked; exit 1 when one is broken."""
    from zjops.analytics.focus.columns import spec
    from zjops.analytics.focus.files import read_table
    from zjops.analytics.focus.rules import check

    out, table = Out(output, json, quiet), read_table(file)
    guessed = "1.4" if "ServiceProviderName" in table.columns and "ProviderName" not in table.columns else "1.2"
    chosen = str(version or guessed)
    checked = check(table, spec(chosen))
    if out.format is Format.JSON:
        out.record("zjops.focus-check/1", {
            "version": chosen, "rows": len(table.rows), "checked": sum(one.checked for one in checked),
            "not_checked": sum(not one.checked for one in checked), "rules": msgspec.to_builtins(checked),
        })  # fmt: skip
    else:
        out.rows("zjops.focus-check/1", msgspec.to_builtins(checked))
    broken = [one for one in checked if one.violations]
    out.say(
        f"{file}: FOCUS {chosen}, {len(table.rows):,} rows; {sum(one.checked for one in checked)} rules checked, "
        f"{sum(not one.checked for one in checked)} not checked, {len(broken)} broken"
    )
    if broken:
        raise typer.Exit(CHECK_FAILED)
