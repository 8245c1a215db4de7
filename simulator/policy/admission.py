"""Whether the platform has room for another request: rather a quick 503 now than a slow failure later."""

from __future__ import annotations

from typing import NamedTuple


class Pressure(NamedTuple):
    """What weighs on the platform: jobs not ended, and by how many seconds the event loop is late."""

    active_jobs: int = 0
    loop_lag_s: float = 0.0


class Refusal(NamedTuple):
    """Why there is no room, and after how many seconds to come back."""

    why: str
    retry_after_s: int


def admit(pressure: Pressure, *, submission: bool, most_jobs: int, most_lag_s: float) -> Refusal | None:
    """None when there is room. A late event loop refuses everyone, a full queue only submissions."""
    if pressure.loop_lag_s > most_lag_s:
        return Refusal("The platform answers too slowly just now.", max(1, round(pressure.loop_lag_s)))
    if submission and pressure.active_jobs >= most_jobs:
        return Refusal("The platform's queue is full.", 5)
    return None
