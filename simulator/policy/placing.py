"""When the processors of the API are left to it alone, and when the others may use them too.

Somebody waits for an answer, nobody for a worker: so the others stay away. Where the API has little to do and the
others more than fits on what they have, an idle processor would help nobody, and they may use all. So they may where
accepted jobs wait for them: somebody waits for those too. Only an API that has all that it can do stays alone even
then, for a crowd of submissions passes, and the queue is there for it; once others are there, they stay until they have
caught up.
"""

from __future__ import annotations

from typing import NamedTuple

IDLE, BUSY = 0.25, 0.40
"""Of a processor: below the first an API process has little to do, from the second on it wants one for itself."""
SHORT, EASY = 0.85, 0.50
"""Of what the others have: from the first on it is too little for them, below the second it is enough."""
FULL = 0.75
"""Of a processor: an API process that uses so much could use more."""
LATE_S, CAUGHT_UP_S = 2.0, 0.5
"""From the first on jobs wait too long for the others, below the second they do no more."""


class Load(NamedTuple):
    """Processor seconds a second, in the last look: of the busiest API process, and of all others together.

    And how long what was settled last had waited for the platform.
    """

    api: float
    others: float
    behind_s: float = 0.0


def apart(load: Load, room: int, was: bool) -> bool:
    """Whether the others stay off the API's processors, with so many left to them."""
    if load.behind_s >= (LATE_S if was else CAUGHT_UP_S) and not (was and load.api >= FULL):
        return False
    if was:
        return not (load.api < IDLE and load.others >= SHORT * room)
    return load.api >= BUSY or load.others < EASY * room
