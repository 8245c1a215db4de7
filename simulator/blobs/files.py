"""Blobs as files, named by digest, in 256 folders; written beside, synced, then renamed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path

from zjops.domain.errors import BlobMissing, StoreUnavailable

_DIGEST = re.compile(r"[0-9a-f]{64}")


class FileBlobs:
    """A folder behind the Blobs port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise BlobMissing(f"{digest!r} is not a SHA-256 in hex")
        return self._folder / digest[:2] / digest

    async def put(self, data: bytes) -> str:
        return await asyncio.to_thread(self._put, data)

    def _put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        if path.exists():
            return digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError as exc:
            raise StoreUnavailable(f"blob folder {self._folder}: {exc.strerror}; free space or choose another") from exc
        return digest

    async def get(self, digest: str) -> bytes:
        return await asyncio.to_thread(self._get, digest)

    def _get(self, digest: str) -> bytes:
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise BlobMissing(f"no blob {digest}") from None
        except OSError as exc:
            raise StoreUnavailable(f"blob folder {self._folder}: {exc.strerror}; check its disk and rights") from exc
        if hashlib.sha256(data).hexdigest() != digest:
            raise BlobMissing(f"blob {digest} is damaged")
        return data

    async def exists(self, digest: str) -> bool:
        return await asyncio.to_thread(self._path(digest).is_file)
