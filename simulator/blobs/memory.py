"""Blobs in memory, for virtual time."""

from __future__ import annotations

import hashlib

from zjops.domain.errors import BlobMissing


class MemoryBlobs:
    """A dictionary behind the Blobs port."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    async def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._data[digest] = data
        return digest

    async def get(self, digest: str) -> bytes:
        if digest not in self._data:
            raise BlobMissing(f"no blob {digest}")
        return self._data[digest]

    async def exists(self, digest: str) -> bool:
        return digest in self._data
