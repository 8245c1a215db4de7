"""`Prefer: respond-async, wait=N` (RFC 7240): for those who would rather wait a little than poll."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.requests import Request

from simulator.api.contract.operation import Header
from simulator.live.changes import ENDED, PROCESSING
from simulator.live.hub import Follower, Hub, SlowConsumer
from zjops.domain.clock import Clock

PREFER = Header(
    "Prefer", "`wait=N` waits up to N seconds for the job's end; "
    "beside it `respond-async` may stand; what is not understood is not heeded (RFC 7240).",
    {"type": "string", "example": "respond-async, wait=10"},
)  # fmt: skip
APPLIED = Header("Preference-Applied", "Which preferences were heeded, and for how long.", {"type": "string"})
_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.IGNORECASE)


class _Told(msgspec.Struct):
    sequence: int


def preferred_wait(request: Request, most_s: int) -> int | None:
    """How many seconds the caller would wait, no more than what is granted; what cannot be read is not heeded."""
    for preference in _preferences(request):
        found = _WAIT.fullmatch(preference)
        if found is not None:
            return min(int(found[1]), most_s)
    return None


def applied(request: Request, wait_s: int | None) -> dict[str, str]:
    """The header that says what was heeded."""
    heeded = ["respond-async"] if "respond-async" in map(str.lower, _preferences(request)) else []
    if wait_s is not None:
        heeded.append(f"wait={wait_s}")
    return {"Preference-Applied": ", ".join(heeded)} if heeded else {}


def _preferences(request: Request) -> list[str]:
    given: Any = (value for name, value in request.scope["headers"] if name == b"prefer")
    return [part.partition(";")[0].strip() for value in given for part in value.decode("latin-1").split(",")]


async def wait_for_end(hub: Hub, clock: Clock, tenant: str, key: bytes, seconds: float) -> None:
    """Return once the job has ended, or when the time is up."""
    follower, until = Follower(tenant), clock.monotonic() + seconds
    try:
        if not await hub.follow(follower, {key: PROCESSING}):
            return
        while (left := until - clock.monotonic()) > 0:
            message = await follower.next(left)
            if message is None or msgspec.json.decode(message, type=_Told).sequence >= ENDED:
                return
    except SlowConsumer:
        return
    finally:
        hub.unfollow(follower)
