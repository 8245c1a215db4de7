"""invoice diff: why one invoice differs from another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from zjops.cli.billing import PRICES, month_of
from zjops.cli.options import ContextName, Home, Json, LogDir, Output, Quiet, log_folder
from zjops.cli.output import Format, Out
from zjops.domain.errors import UsageError

if TYPE_CHECKING:
    from zjops.analytics.diff import Difference
    from zjops.domain.invoices import Invoice

ONE = Annotated[str, typer.Argument(help="An invoice as JSON (zjops invoice -o json), or TENANT:YYYY-MM of the log.")]
OF_LOG = re.compile(r"(.+):(2\d{3}-\d{2})")
EFFECTS = ("volume", "mix", "price")


def diff(
    before: ONE, after: ONE, prices: PRICES = None, log: LogDir = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Split the change from one invoice to another into volume, mix and price, which add up to it to the cent."""
    from zjops.analytics.diff import difference

    def read(given: str) -> Invoice:
        found = OF_LOG.fullmatch(given)
        if found is None or Path(given).exists():
            return _of_file(Path(given))
        made: Invoice = month_of(found[2], log_folder(context, home, log), prices, found[1]).invoices[0]
        return made

    one, two = read(before), read(after)
    _show(Out(output, json, quiet), one, two, difference(one, two))


def _of_file(path: Path) -> Invoice:
    from zjops.analytics.billing import parse_month
    from zjops.analytics.issued import read_invoice

    if not path.exists():
        raise UsageError(f"{path} is neither a file nor TENANT:YYYY-MM")
    made = read_invoice(path)
    try:
        parse_month(made.month)
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from exc
    return made


def _show(out: Out, one: Invoice, two: Invoice, found: Difference) -> None:
    from zjops.analytics.figures import readable
    from zjops.domain.invoices import dollars

    if out.format is Format.JSON:
        out.record("zjops.invoice-diff/1", {"before": _named(one), "after": _named(two)} | msgspec.to_builtins(found))
        return
    lines: list[dict[str, Any]] = msgspec.to_builtins(found.lines)
    if out.format in (Format.TABLE, Format.MD):
        sums = ("before_cents", "after_cents", *(f"{name}_cents" for name in EFFECTS), "change_cents")
        total = dict.fromkeys(lines[0], "") | {"code": "total"} | {name: getattr(found, name) for name in sums}
        lines = [readable(row) for row in (*lines, total)]
    out.rows("zjops.invoice-diff-lines/1", lines)
    told = " + ".join(f"{name} {dollars(getattr(found, f'{name}_cents'))}" for name in EFFECTS)
    notes = f"; of price, {dollars(found.notes_cents)} are credits and corrections" if found.notes_cents else ""
    out.say(
        f"{one.tenant} {one.month} {dollars(found.before_cents)} to {two.tenant} {two.month} "
        f"{dollars(found.after_cents)}: {dollars(found.change_cents)} = {told}{notes}"
    )


def _named(invoice: Invoice) -> dict[str, Any]:
    return {
        "tenant": invoice.tenant, "month": invoice.month, "number": invoice.number, "state": invoice.state,
        "price_book": invoice.price_book,
    }  # fmt: skip


commands: dict[str, object] = {}
verbs = {"diff": diff}
