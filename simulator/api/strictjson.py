"""JSON as a contract needs it: no duplicate keys, bounded depth and integers, no lone surrogates.

msgspec reads quickly but lets these through; a second pass refuses what two parsers could read differently.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from zjops.domain.errors import Problem

MAX_DEPTH = 32
MAX_INTEGER = 2**63
MAX_EXACT = 2**53


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> int | float:
    """`5.0` is the integer 5, as every other JSON client sees it."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < MAX_EXACT else value


def _check_depth(body: bytes) -> None:
    """Brackets counted outside strings: quick, and no recursion."""
    depth, in_string, escaped = 0, False, False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH}")
        elif byte in b"]}":
            depth -= 1


def _check_values(value: Any) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, int) and not -MAX_INTEGER <= item < 2 * MAX_INTEGER:
            raise ValueError("an integer does not fit 64 bits")
        elif isinstance(item, str) and not item.isascii():
            item.encode()


def decode(body: bytes) -> Any:
    """A request body as plain values. Raises `Problem` (400) with the reason."""
    try:
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
            _check_depth(body)
        msgspec.json.decode(body)
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_refuse_constant, parse_float=_number
        )
        _check_values(value)
        return value
    except (ValueError, RecursionError) as exc:
        raise Problem("malformed-request", f"The body is not acceptable JSON: {exc}") from exc
