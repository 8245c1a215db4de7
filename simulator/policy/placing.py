"""When the processors of the API are left to it alone, and when the others may use them too.

Somebody waits for an answer, nobody for a worker: so the others stay away. Where the API has little to do and the
others more than fits on what they have, an idle processor would help nobody, and they may use all.
"""

from __future__ import annotations

from typing import NamedTuple

IDLE, BUSY = 0.25, 0.40
"""Of a processor: below the first an API process has little to do, from the second on it wants one for itself."""
SHORT, EASY = 0.85, 0.50
"""Of what the others have: from the first on it is too little for them, below the second it is enough."""


class Load(NamedTuple):
    """Processor seconds a second, in the last look: of the busiest API process, and of all others together."""

    api: float
    others: float


def apart(load: Load, room: int, was: bool) -> bool:
    """Whether the others stay off the API's processors, with so many left to them."""
    if was:
        return not (load.api < IDLE and load.others >= SHORT * room)
    return load.api >= BUSY or load.others < EASY * room
