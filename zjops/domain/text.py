"""Text for terminals: what came from elsewhere is shown and never obeyed; money as people read it."""

from __future__ import annotations

import re
from decimal import Decimal

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters other than tab and line feed, marks that turn the direction of writing, halves of characters."""
_SHORT = re.compile(r"0x([0-9a-f]{8})[0-9a-f]{50,}([0-9a-f]{6})\b")


def plain(text: str) -> str:
    """The same with every character that a terminal obeys spelled out, such as `\\x1b` for escape."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain_json(text: str) -> str:
    """The same JSON with such characters escaped: those that JSON itself lets stand."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """The same for a cell of a table: line feeds and tabs are spelled out too."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def shortened(text: str) -> str:
    """The same with long hashes cut in the middle, for people; programs get them whole."""
    return _SHORT.sub(r"0x\1…\2", text)


def numbered(number: int, one: str, many: str | None = None) -> str:
    """So many of something: `1 batch`, `1,204 batches`; without `many` an s is put behind."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def dollars(microusd: int) -> str:
    """Money, from micro-dollars; small amounts keep their digits."""
    value = Decimal(microusd) / 10**6
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.6f}".rstrip("0")
