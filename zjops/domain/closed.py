"""A closed month on disk: who wrote what where, so that whoever issues and whoever serves invoices agree (C76).

One folder a month, `billing/YYYY-MM/` beside the log: invoices, a journal, the price book of then and a manifest with
the SHA-256 of each. It appears whole, by a rename, and nothing in it ever changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from zjops.domain.errors import InvariantError
from zjops.domain.invoices import Invoice

INVOICES, JOURNAL, PRICES, MANIFEST = "invoices", "journal.csv", "prices.json", "manifest.json"


class ClosedFile(msgspec.Struct, frozen=True):
    """A file of a close and the SHA-256 of its bytes, in hex."""

    name: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a close holds. Times are Unix ms; `files` are all others of the folder."""

    schema: str
    month: str
    closed_at_ms: int
    watermark_ms: int
    price_book: str
    invoices: int
    total_cents: int
    files: list[ClosedFile]


def billing_dir(log_dir: Path) -> Path:
    """Where closed months stand: beside the log."""
    return log_dir.absolute().parent / "billing"


def invoice_file(number: str, tenant: str) -> str:
    """The name of an invoice within the folder of its month."""
    return f"{INVOICES}/{number}-{tenant}.json"


def closed_months(folder: Path) -> list[str]:
    """The months that were closed, in order."""
    return sorted(path.parent.name for path in folder.glob(f"2???-??/{MANIFEST}"))


def read_manifest(folder: Path, month: str) -> Manifest:
    """What a closed month holds. Raises `InvariantError` when that cannot be read."""
    path = folder / month / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as exc:
        raise InvariantError(f"{path} cannot be read: {exc}; restore it from a copy") from exc


def read_issued(folder: Path, month: str, file: ClosedFile) -> Invoice:
    """One issued invoice. Raises `InvariantError` when it is not what was issued."""
    return msgspec.json.decode(check_file(folder, month, file), type=Invoice)


def check_file(folder: Path, month: str, file: ClosedFile) -> bytes:
    """The bytes of a file of a close. Raises `InvariantError` when they are not those that were issued."""
    path = folder / month / file.name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise InvariantError(f"{path} is not the file that was issued; restore it from a copy")
    return content


def issued_to(folder: Path, month: str, tenant: str) -> Invoice | None:
    """The invoice of one tenant of a closed month, None when it has none. Raises `InvariantError`."""
    for file in read_manifest(folder, month).files:
        # A number holds no tenant, and a tenant's name may end like another's: what is asked for stands in the file.
        if file.name.startswith(f"{INVOICES}/") and file.name.endswith(f"-{tenant}.json"):
            found = read_issued(folder, month, file)
            if found.tenant == tenant:
                return found
    return None
