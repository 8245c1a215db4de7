"""Idempotency keys: UUIDs of version 4, made from blocks of random bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zjops.domain.ids import uuid4_text

BLOCK = 512


def keys(token: Callable[[int], bytes]) -> Iterator[str]:
    """Keys without end; `token` gives so many random bytes."""
    while True:
        digits = token(16 * BLOCK).hex()
        for at in range(0, len(digits), 32):
            yield uuid4_text(digits[at : at + 32])
