"""Idempotency keys: UUIDs of version 4, made from blocks of random bytes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

BLOCK = 512


def keys(token: Callable[[int], bytes]) -> Iterator[str]:
    """Keys without end; `token` gives so many random bytes."""
    while True:
        block = token(16 * BLOCK)
        for at in range(0, len(block), 16):
            yield str(uuid.UUID(bytes=block[at : at + 16], version=4))
