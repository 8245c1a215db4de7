"""Whether the published file of a batch says what the store says: by digest, and where not, what differs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import msgspec

from zjops.domain.leaffile import FOLDER, LeafFile, leaf_file_path
from zjops.domain.merkle import Tree
from zjops.domain.wire_chain import BatchDetail

State = Literal["agrees", "altered", "missing", "pending", "unknown"]
WRONG: frozenset[State] = frozenset({"altered", "missing"})
HASH_BYTES = 32


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a batch beside the store; digests are SHA-256 of the file's bytes, and of what they should be.

    `pending` is a batch of which nothing was sent yet, so that its file may be yet to come; `unknown` means that the
    folder cannot be seen from here.
    """

    state: State
    detail: str
    path: str | None = None
    digest: str | None = None
    digest_of_store: str


def published(batch: BatchDetail, log_dir: str | None) -> Published:
    """Compare the file of a batch with its leaves in the store."""
    expected = LeafFile(
        batch=batch.batch_id, first_sequence=batch.first_sequence, count=batch.count, root=batch.root,
        leaves=[leaf.hash for leaf in batch.leaves],
    )  # fmt: skip
    ours = _digest(expected.content())
    if log_dir is None:
        return Published(state="unknown", detail="the context names no log folder", digest_of_store=ours)
    path = leaf_file_path(Path(log_dir) / FOLDER, batch.batch_id)
    try:
        content = path.read_bytes()
    except OSError as exc:
        state, detail = _unread(batch, path, Path(log_dir), exc)
        return Published(state=state, detail=detail, path=str(path), digest_of_store=ours)
    state, detail = _read(batch, path, content, expected)
    return Published(
        state=state, detail=detail, path=str(path), digest=_digest(content), digest_of_store=ours
    )  # fmt: skip


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(batch: BatchDetail, path: Path, content: bytes, expected: LeafFile) -> tuple[State, str]:
    if content == expected.content():
        return "agrees", f"{path} holds the store's leaves"
    if batch.state == "closed" and batch.repairs and f'"root":"{expected.root}"'.encode() not in content:
        return "pending", f"{path} is that of before the batch moved; it is written anew before the root is sent"
    return "altered", f"{path} was altered: {_difference(content, expected)}"


def _unread(batch: BatchDetail, path: Path, log_dir: Path, exc: OSError) -> tuple[State, str]:
    if not isinstance(exc, FileNotFoundError):
        return "unknown", f"{path} cannot be read ({exc.strerror})"
    if not log_dir.is_dir():
        return "unknown", f"the log folder {log_dir} is not on this machine"
    if batch.state == "closed":
        return "pending", f"{path} is not there yet; it is written before the root is sent"
    return "missing", f"{path} is missing, though the root was sent; the store has every leaf of it"


def _difference(content: bytes, expected: LeafFile) -> str:
    """What differs, in the order of how much it says."""
    try:
        found = msgspec.json.decode(content, type=LeafFile)
    except msgspec.MsgspecError as exc:
        return f"it is no file of leaves ({exc})"
    pairs = zip(found.leaves, expected.leaves, strict=False)
    wrong = [expected.first_sequence + place for place, (theirs, ours) in enumerate(pairs) if theirs != ours]
    said = [
        f"{name} is {getattr(found, name)}, not {getattr(expected, name)}"
        for name in ("batch", "first_sequence", "count", "root")
        if getattr(found, name) != getattr(expected, name)
    ]
    if len(found.leaves) != len(expected.leaves):
        said.append(f"it holds {len(found.leaves)} leaves, not {len(expected.leaves)}")
    if wrong:
        said.append(f"the leaf of number {wrong[0]} is another" + (f", and {len(wrong) - 1} more" if wrong[1:] else ""))
    if not _gives_its_root(found):
        said.append("its leaves do not give its root")
    return "; ".join(said) or "the same leaves in other bytes"


def _gives_its_root(found: LeafFile) -> bool:
    try:
        leaves = [bytes.fromhex(leaf.removeprefix("0x")) for leaf in found.leaves]
    except ValueError:
        return False
    whole = bool(leaves) and all(len(leaf) == HASH_BYTES for leaf in leaves)
    return whole and "0x" + Tree(leaves).root.hex() == found.root
