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


def _check_string(text: str) -> int:
    """Refuses lone surrogates; returns how many colons the string holds."""
    if not text.isascii():
        text.encode()
    return text.count(":")


def _survey(value: Any) -> tuple[int, bool]:
    """Members plus colons within strings, and whether a float is an integer in disguise. Raises `ValueError`."""
    colons, disguised, stack = 0, False, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            colons += _check_string(item)
        elif isinstance(item, dict):
            colons += len(item)
            for name in item:
                colons += _check_string(name)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, float):
            disguised = disguised or (item.is_integer() and abs(item) < MAX_EXACT)
        elif isinstance(item, int) and not -MAX_INTEGER <= item < 2 * MAX_INTEGER:
            raise ValueError("an integer does not fit 64 bits")
    return colons, disguised


def decode(body: bytes) -> Any:
    """A request body as plain values. Raises `Problem` (400) with the reason.

    A document without duplicate keys has as many colons as it has members and colons within strings; only where the
    two differ, or an escape may hide one, is it read again by the slow parser that sees every pair.
    """
    try:
        if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
            _check_depth(body)
        value = msgspec.json.decode(body)
        colons, disguised = _survey(value)
        if disguised or b"\\u" in body or colons != body.count(b":"):
            value = json.loads(
                body.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_refuse_constant, parse_float=_number
            )
            _survey(value)
    except (ValueError, RecursionError) as exc:
        raise Problem("malformed-request", f"The body is not acceptable JSON: {exc}") from exc
    return value
