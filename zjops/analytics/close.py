"""Closing a month: every invoice numbered and frozen, with a journal and hashes (C76).

The folder is written under another name and renamed, so that a month is closed wholly or not at all.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from zjops.analytics.billing import SETTLED_WITHIN_MS
from zjops.analytics.documents import flat_rows
from zjops.analytics.issued import invoices_of, read_closed
from zjops.analytics.tieout import TieOut, tie_out
from zjops.analytics.warehouse import Warehouse
from zjops.domain.clock import month_bounds_ms, rfc3339, utc_month
from zjops.domain.closed import INVOICES, JOURNAL, MANIFEST, PRICES, ClosedFile, Manifest, closed_months, invoice_file
from zjops.domain.errors import InvariantError, StoreUnavailable, UsageError
from zjops.domain.invoices import Invoice, issued
from zjops.domain.plans import PriceBook
from zjops.domain.runfile import RUN_FILE
from zjops.domain.synthetic import synthetic_part

SCHEMA = "zjops.close/1"


class Closing(NamedTuple):
    """A month that may be closed: its invoices as they would be issued, and the identities that hold of it."""

    invoices: list[Invoice]
    tied: TieOut
    watermark_ms: int


def prepare(warehouse: Warehouse, folder: Path, month: str, book: PriceBook, *, now_ms: int) -> Closing:
    """The invoices as they would be issued now. Raises `UsageError` for a month that is closed or out of turn, and
    `InvariantError` for one that may not be closed yet or does not tie out."""
    _check_turn(folder, month)
    found, drafts = invoices_of(warehouse, folder, month, book, now_ms=now_ms)
    if not drafts:
        raise UsageError(f"the log holds nothing of {month}; see: zjops usage --by month")
    if _has_ended(warehouse, found.through_sequence):
        _check_told(month, found.watermark_ms)
    else:
        _check_time(month, found.watermark_ms)
    tied = tie_out(warehouse, month, drafts)
    _check_tied(tied)
    numbered = [issued(draft, f"INV-{month}-{n:04d}", now_ms) for n, draft in enumerate(drafts, 1)]
    return Closing(numbered, tied, found.watermark_ms)


def _check_turn(folder: Path, month: str) -> None:
    closed = closed_months(folder)
    if month in closed:
        at = rfc3339(read_closed(folder, month)[0].closed_at_ms)
        raise UsageError(f"{month} was closed at {at}; what came later is on the next invoice")
    if closed and month < closed[-1]:
        raise UsageError(f"{closed[-1]} is closed already; months are closed in order")


def _has_ended(warehouse: Warehouse, through_sequence: int) -> bool:
    """Whether nothing can come any more: the log is a synthetic one, and no platform goes on behind its end."""
    part = synthetic_part(warehouse.log_dir)
    goes_on = (warehouse.log_dir.parent / RUN_FILE).exists()
    return part is not None and part.last.events == through_sequence and not goes_on


def _check_told(month: str, watermark_ms: int) -> None:
    """Of a log that has ended only the months that it got to can be closed: of a later one it says nothing."""
    if month > utc_month(watermark_ms):
        raise UsageError(f"the log is synthetic and ends at {rfc3339(watermark_ms)}: it tells nothing of {month}")


def _check_time(month: str, watermark_ms: int) -> None:
    needed = month_bounds_ms(month)[1] + SETTLED_WITHIN_MS
    if watermark_ms < needed:
        raise InvariantError(
            f"{month} cannot be closed before the log is complete to {rfc3339(needed)} (the longest timeout at every "
            f"try after the month's end); it is complete to {rfc3339(watermark_ms)}"
        )


def _check_tied(tied: TieOut) -> None:
    if tied.wrong:
        name, why = tied.wrong[0]
        raise InvariantError(f"{tied.month} does not tie out: {tied.wrong_count} jobs, first {name} {why}")
    for identity in tied.identities:
        if identity.residual:
            raise InvariantError(f"{tied.month} does not tie out: {identity.text()}")
    if tied.in_flight:
        left = tied.identities[0].parts["in flight"]
        raise InvariantError(f"{left} jobs of {tied.month} have not ended, first {tied.in_flight[0]}")


def close(folder: Path, month: str, closing: Closing, book: PriceBook, *, now_ms: int) -> Manifest:
    """Issue the invoices of a month. Raises `StoreUnavailable` when the folder cannot be written."""
    files = {invoice_file(one.number or "", one.tenant): _json(one) for one in closing.invoices}
    files |= {JOURNAL: journal(flat_rows(closing.invoices)), PRICES: _json(book)}
    listed = [ClosedFile(name, hashlib.sha256(data).hexdigest()) for name, data in sorted(files.items())]
    total = sum(invoice.total_cents for invoice in closing.invoices)
    manifest = Manifest(
        SCHEMA, month, now_ms, closing.watermark_ms, book.version, len(closing.invoices), total, listed
    )  # fmt: skip
    try:
        _write(folder, month, files | {MANIFEST: _json(manifest)})
    except OSError as exc:
        raise StoreUnavailable(f"billing folder {folder}: {exc.strerror}; this close of {month} was not made") from exc
    return manifest


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _write(folder: Path, month: str, files: Mapping[str, bytes]) -> None:
    """All files, then their folder's name at once. Of two closes the second finds a folder that is not empty."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{month}.", dir=folder))
    try:
        (beside / INVOICES).mkdir()
        for name, data in files.items():
            with (beside / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        beside.rename(folder / month)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def journal(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Every line of every invoice as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
