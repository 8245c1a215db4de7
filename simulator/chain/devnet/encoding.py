"""JSON-RPC's hex forms, both ways, as real clients write them."""

from __future__ import annotations

from typing import Any


class BadParams(Exception):
    """A parameter cannot be read (-32602)."""


def quantity(value: int) -> str:
    """An integer as JSON-RPC writes it."""
    return hex(value)


def data(value: bytes) -> str:
    """Bytes as JSON-RPC writes them."""
    return "0x" + value.hex()


def read_int(value: Any, name: str) -> int:
    """A quantity; leading zeros, decimal text and plain numbers are taken too. Raises `BadParams`."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadParams(f"{name} must be a hex quantity")
    try:
        found = value if isinstance(value, int) else int(value, 16) if value[:2].lower() == "0x" else int(value)
    except ValueError:
        raise BadParams(f"{name} must be a hex quantity, not {value!r:.40}") from None
    if not 0 <= found < 2**256:
        raise BadParams(f"{name} is out of range")
    return found


def read_bytes(value: Any, name: str, length: int | None = None) -> bytes:
    """Hex data, of a length if one is given. Raises `BadParams`."""
    if not isinstance(value, str) or value[:2].lower() != "0x":
        raise BadParams(f"{name} must be 0x-prefixed hex")
    text = value[2:]
    try:
        found = bytes.fromhex(text if len(text) % 2 == 0 else "0" + text)
    except ValueError:
        raise BadParams(f"{name} is not hex") from None
    if length is not None and len(found) != length:
        raise BadParams(f"{name} must have {length} bytes, not {len(found)}")
    return found


def read_dict(value: Any, name: str) -> dict[str, Any]:
    """An object. Raises `BadParams`."""
    if not isinstance(value, dict):
        raise BadParams(f"{name} must be an object")
    return value
