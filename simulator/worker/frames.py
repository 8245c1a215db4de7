"""What a worker and its children say to each other. Kept apart so that a child need not load what a parent needs."""

from __future__ import annotations

from typing import Any

import msgspec


def canonical(value: Any) -> bytes:
    """JSON with sorted keys: the exact bytes that are hashed and served."""
    return msgspec.json.encode(value, order="sorted")


class Request(msgspec.Struct, frozen=True):
    """What the parent sends to a child."""

    job_type: str
    memory_bytes: int
    parameters: dict[str, Any]


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a child answers: progress any number of times, then one ending."""

    progress: int | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    client_fault: str | None = None
    crash_code: str | None = None
    message: str = ""
