"""One suite for every adapter of the Blobs port."""

import hashlib
from pathlib import Path

import pytest

from simulator.blobs.files import FileBlobs
from simulator.blobs.memory import MemoryBlobs
from simulator.blobs.port import Blobs
from zjops.domain.errors import BlobMissing, StoreUnavailable


@pytest.fixture(params=["memory", "files"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return MemoryBlobs() if request.param == "memory" else FileBlobs(tmp_path / "blobs")


async def test_bytes_come_back_under_their_digest(blobs: Blobs) -> None:
    digest = await blobs.put(b"result")
    assert digest == await blobs.put(b"result") == hashlib.sha256(b"result").hexdigest()
    assert await blobs.get(digest) == b"result"
    assert await blobs.exists(digest)


async def test_unknown_digests_are_missing(blobs: Blobs) -> None:
    assert not await blobs.exists("0" * 64)
    for digest in ("0" * 64, "../../etc/passwd"):
        with pytest.raises(BlobMissing):
            await blobs.get(digest)


async def test_a_damaged_file_is_not_served(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    digest = await blobs.put(b"result")
    (tmp_path / digest[:2] / digest).write_bytes(b"other")
    with pytest.raises(BlobMissing, match="damaged"):
        await blobs.get(digest)


async def test_a_file_that_cannot_be_read_is_not_taken_for_missing(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    digest = await blobs.put(b"result")
    (tmp_path / digest[:2] / digest).unlink()
    # What a failing disk says cannot be had here; a folder in the place of the file is refused alike.
    (tmp_path / digest[:2] / digest).mkdir()
    with pytest.raises(StoreUnavailable, match="check its disk"):
        await blobs.get(digest)
