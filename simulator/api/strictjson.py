"""JSON as a contract needs it: no duplicate keys, bounded depth and integers, no lone surrogates.

msgspec reads quickly but lets these through; a second pass refuses what two parsers could read differently.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from zjops.domain.errors import Problem

MAX_DEPTH = 32
MAX_INTEGER = 2**63
MAX_EXACT = 2**53
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


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
    """Refuses what is nested too deeply before any parser follows it. Raises `ValueError`.

    A parser in C goes as deep as the program's limit of recursion lets it, and a library may have raised that beyond
    the stack. Up to the first mistake of a document its strings are those that are taken out here.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for byte in _STRINGS.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _check_string(text: str) -> int:
    """Refuses lone surrogates; returns how many colons the string holds."""
    if not text.isascii():
        text.encode()
    return text.count(":")


def _survey(value: Any) -> tuple[int, bool]:
    """Members plus colons within strings, and whether a float is an integer in disguise. Raises `ValueError`.

    A level at a time, so that depth needs neither recursion nor a count beside each value.
    """
    colons, disguised, depth, level = 0, False, 0, [value]
    while level:
        below: list[Any] = []
        nested = False
        for item in level:
            # A parser makes these very types and none derived from them.
            kind = type(item)
            if kind is str:
                colons += _check_string(item)
            elif kind is dict:
                nested = True
                colons += len(item)
                for name in item:
                    colons += _check_string(name)
                below.extend(item.values())
            elif kind is list:
                nested = True
                below.extend(item)
            elif kind is float:
                disguised = disguised or (item.is_integer() and abs(item) < MAX_EXACT)
            elif kind is int and not -MAX_INTEGER <= item < 2 * MAX_INTEGER:
                raise ValueError("an integer does not fit 64 bits")
        depth += nested
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        level = below
    return colons, disguised


def decode(body: bytes) -> Any:
    """A request body as plain values. Raises `Problem` (400) with the reason.

    A document without duplicate keys has as many colons as it has members and colons within strings; only where the
    two differ, or an escape may hide one, is it read again by the slow parser that sees every pair.
    """
    try:
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
