"""Months that were closed: what was issued, checked by its hashes, and what the log has said since.

How a closed month lies on disk says `zjops.domain.closed`; what came later is a note on the next invoice (C76).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from zjops.analytics.billing import Month, draft_invoices, read_book, read_month
from zjops.analytics.warehouse import Warehouse
from zjops.domain.closed import (
    INVOICES,
    MANIFEST,
    PRICES,
    Manifest,
    billing_dir,
    check_file,
    closed_months,
    read_issued,
    read_manifest,
)
from zjops.domain.errors import InvariantError, UsageError
from zjops.domain.invoices import CORRECTION, SLA_CREDIT, Correction, Invoice
from zjops.domain.plans import PriceBook


def book_of(log_dir: Path, month: str, path: Path | None) -> PriceBook:
    """The price book of a file, that of a closed month, or the one that ships.

    Raises `UsageError`, and `InvariantError` for one that was kept and cannot be read.
    """
    kept = billing_dir(log_dir) / month / PRICES
    if path is not None or not kept.exists():
        return read_book(path)
    try:
        return msgspec.json.decode(kept.read_bytes(), type=PriceBook)
    except (OSError, msgspec.MsgspecError) as exc:
        raise InvariantError(f"{kept} cannot be read: {exc}; restore it from a copy") from exc


def read_invoice(path: Path) -> Invoice:
    """An invoice's file. Raises `UsageError` that names it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Invoice)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    except msgspec.MsgspecError as exc:
        raise UsageError(f"{path} is no invoice: {exc}; make one with: zjops invoice TENANT -o json") from exc


def read_closed(folder: Path, month: str) -> tuple[Manifest, list[Invoice]]:
    """A closed month. Raises `InvariantError` that names a file which is not what was issued."""
    manifest, made = read_manifest(folder, month), []
    for file in sorted(manifest.files, key=lambda one: one.name):
        check_file(folder, month, file)
        if file.name.startswith(f"{INVOICES}/"):
            made.append(read_issued(folder, month, file))
    return manifest, made


def issued_of(folder: Path, month: str) -> dict[str, Invoice]:
    """The issued invoices of a month by tenant; none while it is open."""
    if not (folder / month / MANIFEST).exists():
        return {}
    return {invoice.tenant: invoice for invoice in read_closed(folder, month)[1]}


def corrections(warehouse: Warehouse, folder: Path, before: str, now_ms: int) -> dict[str, list[Correction]]:
    """What the log now says of issued months before one, less what was issued and already corrected, by tenant."""
    everything = {month: issued_of(folder, month) for month in closed_months(folder) if month < before}
    noted: dict[tuple[str, str], Correction] = {}
    for note_of in (invoice for made in everything.values() for invoice in made.values()):
        for note in _notes(note_of):
            key = note_of.tenant, note.month
            noted[key] = _sum(noted[key], note) if key in noted else note
    found: dict[str, list[Correction]] = defaultdict(list)
    for month, made in everything.items():
        # By the prices of that time: a new price book corrects nothing.
        book = msgspec.json.decode((folder / month / PRICES).read_bytes(), type=PriceBook)
        now = {one.tenant: one for one in draft_invoices(read_month(warehouse, month, book, now_ms=now_ms), book)}
        for tenant, invoice in made.items():
            difference = _difference(invoice, now.get(tenant), noted.get((tenant, month)))
            found[tenant] += [difference] if difference is not None else []
    return found


def _notes(invoice: Invoice) -> Iterable[Correction]:
    for line in invoice.lines:
        if line.code == CORRECTION and line.reference:
            month = line.reference[len("INV-") :][: len("YYYY-MM")]
            yield Correction(month, line.reference, line.amount_cents, line.jobs, line.quantity)


def _sum(one: Correction, two: Correction) -> Correction:
    return Correction(one.month, one.invoice, one.cents + two.cents, one.jobs + two.jobs, one.units + two.units)


def _own(invoice: Invoice) -> int:
    """What usage, plan and notes come to: service credits were settled with the invoice, corrections are others'."""
    return sum(line.amount_cents for line in invoice.lines if line.code not in (CORRECTION, SLA_CREDIT))


def _difference(then: Invoice, now: Invoice | None, noted: Correction | None) -> Correction | None:
    if now is None or then.number is None:
        return None
    cents, jobs = _own(now) - _own(then), now.jobs - then.jobs
    units = now.units.total - then.units.total
    if noted is not None:
        cents, jobs, units = cents - noted.cents, jobs - noted.jobs, units - noted.units
    return Correction(then.month, then.number, cents, jobs, units) if cents or jobs or units else None


def invoices_of(
    warehouse: Warehouse, folder: Path, month: str, book: PriceBook, *, now_ms: int, tenant: str | None = None
) -> tuple[Month, list[Invoice]]:  # fmt: skip
    """The invoices of a month: as they were issued, else drafts with the corrections of months before."""
    notes = corrections(warehouse, folder, month, now_ms) if closed_months(folder) else {}
    found = read_month(warehouse, month, book, now_ms=now_ms, tenant=tenant, corrections=notes)
    fixed = issued_of(folder, month)
    drafts = draft_invoices(found, book)
    return found, [fixed.get(draft.tenant, draft) for draft in drafts]
