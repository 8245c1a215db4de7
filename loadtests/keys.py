"""Idempotency keys: UUIDs of version 4, made from blocks of random bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

BLOCK = 512
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def keys(token: Callable[[int], bytes]) -> Iterator[str]:
    """Keys without end; `token` gives so many random bytes."""
    while True:
        digits = token(16 * BLOCK).hex()
        for at in range(0, len(digits), 32):
            one = digits[at : at + 32]
            # Version and variant in the places that RFC 9562 gives them; a `uuid.UUID` costs four times as much.
            yield f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{_VARIANT[one[16]]}{one[17:20]}-{one[20:]}"
