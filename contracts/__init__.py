"""The compiled contracts as data: what the platform deploys and the toolkit checks. No compiler is needed to use it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SOURCES = FOLDER / "src"
ARTIFACTS = FOLDER / "artifacts"


@dataclass(frozen=True)
class Artifact:
    """A compiled contract; code as 0x-prefixed hex, `immutable_references` as the compiler gives them (bytes)."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    deployed_bytecode: str
    immutable_references: dict[str, list[dict[str, int]]]
    storage_layout: dict[str, Any]
    source_hash: str
    compiler: str
    settings: dict[str, Any]


def load(name: str) -> Artifact:
    """A committed artifact. Raises `FileNotFoundError` for a contract that there is none of."""
    data = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return Artifact(name=name, **data)


def source_hash(path: str) -> str:
    """SHA-256 over one of our own sources, given by its path below `src`: whether an artifact belongs to it."""
    content = (SOURCES / path).read_bytes()
    return hashlib.sha256(f"{path}\0{len(content)}\0".encode() + content).hexdigest()
