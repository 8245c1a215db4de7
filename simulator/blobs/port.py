"""The Blobs port: bytes under the hex of their SHA-256."""

from __future__ import annotations

from typing import Protocol


class Blobs(Protocol):
    """A write-once store of bytes that several processes share."""

    async def put(self, data: bytes) -> str:
        """Store bytes durably; returns their SHA-256 as 64 hex digits. Putting them again changes nothing."""
        ...

    async def get(self, digest: str) -> bytes:
        """The bytes of a digest, checked against it.

        Raises `BlobMissing` when absent or damaged, `StoreUnavailable` when nothing can be read now.
        """
        ...

    async def exists(self, digest: str) -> bool:
        """Whether there are bytes of that digest."""
        ...
