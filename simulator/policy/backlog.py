"""How far the platform is behind with what it accepted, and how much may come in while it catches up.

To accept a job is quicker than to run, settle and anchor it, so a platform that only looks at its answers lets in for
minutes what it will need many more minutes for. A crowd that passes may: the queue is there for it. One that stays
makes everybody's job late, and is let in at less than what gets done until the wait is short again, after the idea of
CoDel (RFC 8289), where a queue is bad by how long it has stood.

How long what is settled now has waited tells of the past: of the crowd that came then, though it may have been refused
ever since. What comes now waits for those that came since (Little's law), and whoever is refused is told to come back
when they are done.

Only the wait for the platform itself counts. Jobs that wait for slots which other jobs use are what a queue is for, and
while nothing is settled at all (no worker, no broker) this says nothing: then the number of jobs is the bound.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from simulator.policy.admission import Refusal

PATIENCE_S = 5.0
"""For so long the wait must have been too long before anybody is refused."""
PART = 0.5
"""Of what gets done, this part may come in meanwhile: the rest of the work is for what waits."""
LEAST = 50.0
"""Jobs a second that may come in however little gets done."""
STEP_S = 1.0
SLOTS_IN_USE = 0.5
"""From this share of a worker's slots on, jobs wait for each other and not for the platform."""
COME_BACK_MOST_S = 30
WORTH_S = 1.0
FRESH_S = 5.0
"""What was said longer ago says nothing of now."""
REMEMBERED = 600
"""For so many steps it is known how many jobs came in."""


class Behind(NamedTuple):
    """How long what was settled last had waited for the platform, and how many jobs a second are settled."""

    wait_s: float = 0.0
    rate: float = 0.0


class Pace:
    """Counts what is settled, and says once a step how far behind that was. `slots` are those of one worker."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._since: float | None = None
        self._waits: list[int] = []
        self._ran_ms = self._count = 0

    def add(self, waited_ms: int, ran_ms: int) -> None:
        """A job has ended with its first attempt, which took so long, and was settled after it had waited so long."""
        self._waits.append(waited_ms)
        self._ran_ms += ran_ms

    def take(self, count: int, now_s: float) -> Behind | None:
        """So many were settled just now: what is to be told, once a step; else None."""
        self._count += count
        if self._since is None:
            self._since = now_s
        seconds = now_s - self._since
        if seconds < STEP_S:
            return None
        # By Little's law so many slots were in use.
        in_use = self._ran_ms / 1000 / seconds
        wait_s = median(self._waits) / 1000 if self._waits and in_use < SLOTS_IN_USE * self._slots else 0.0
        behind = Behind(wait_s, self._count / seconds)
        self._since, self._waits, self._ran_ms, self._count = now_s, [], 0, 0
        return behind


def together(told: Iterable[Behind]) -> Behind:
    """What several that settle say: the longest wait, and what they do in all."""
    every = list(told)
    return Behind(max((one.wait_s for one in every), default=0.0), sum(one.rate for one in every))


class Told:
    """What was told last, for as long as it says something of now."""

    def __init__(self) -> None:
        self._behind, self._until = Behind(), 0.0

    def tell(self, behind: Behind, now_s: float) -> None:
        """So it is now."""
        self._behind, self._until = behind, now_s + FRESH_S

    def at(self, now_s: float) -> Behind:
        """What it is now; of what was said too long ago nothing is left."""
        return self._behind if now_s < self._until else Behind()


def worth_telling(behind: Behind, told: Behind) -> bool:
    """Whether anybody has to hear of it: nobody does while there is nothing to wait for, nor was."""
    return max(behind.wait_s, told.wait_s) >= WORTH_S


class Arrivals:
    """How many jobs were accepted in each of the last steps, since the first one."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque()
        self._known_from: int | None = None

    def add(self, jobs: int, now_s: float) -> None:
        """So many were accepted just now."""
        step = int(now_s / STEP_S)
        if self._counts and self._counts[-1][0] == step:
            self._counts[-1] = (step, self._counts[-1][1] + jobs)
            return
        self._counts.append((step, jobs))
        while self._counts[0][0] <= step - REMEMBERED:
            self._counts.popleft()

    def begin(self, now_s: float) -> None:
        """From here on all are counted."""
        if self._known_from is None:
            self._known_from = int(now_s / STEP_S)

    def since(self, wait_s: float, now_s: float) -> float | None:
        """How many in the last so many seconds; None where nobody counted for so long."""
        began = (now_s - wait_s) / STEP_S
        first = math.floor(began)
        if self._known_from is None or first < self._known_from or int(now_s / STEP_S) - first >= REMEMBERED:
            return None
        # Of the step in which they begin, as much as they have of it.
        return sum(jobs * min(1.0, step + 1 - began) for step, jobs in self._counts if step >= first)


class Backlog:
    """Who may come in while the platform is behind. `processes` of the interface share what may."""

    def __init__(self, most_wait_s: float, processes: int = 1) -> None:
        self._most_wait_s, self._processes = most_wait_s, processes
        self._arrivals = Arrivals()
        self._behind, self._coming_s = Behind(), 0.0
        self._late_since: float | None = None
        self.standing = False
        """Whether anyone may be refused at all."""
        self._step = 0
        self._taken: Counter[str] = Counter()
        self._total = 0
        self._recent: frozenset[str] = frozenset()
        self._seen: set[str] = set()

    def see(self, behind: Behind, now_s: float) -> None:
        """What the platform says of itself now."""
        self._arrivals.begin(now_s)
        self._coming_s = self._wait_s(behind, now_s)
        # One that is too long already is not yet too long for who came then: a crowd that passes may come in.
        behind = self._behind = behind._replace(wait_s=min(behind.wait_s, self._coming_s))
        if behind.wait_s <= self._most_wait_s:
            self._late_since, self.standing = None, False
            return
        if self._late_since is None:
            self._late_since = now_s
        self.standing = now_s - self._late_since >= PATIENCE_S

    def _wait_s(self, behind: Behind, now_s: float) -> float:
        """How long what comes in now will wait: for all that came in since what was settled last."""
        since = self._arrivals.since(behind.wait_s, now_s)
        return behind.wait_s if since is None or behind.rate <= 0 else since * self._processes / behind.rate

    def accepted(self, jobs: int, now_s: float) -> None:
        """So many jobs were stored."""
        self._arrivals.add(jobs, now_s)

    def refusal(self, tenant: str, now_s: float) -> Refusal | None:
        """Why a submission is not let in now; None when it is."""
        if not self.standing:
            return None
        self._move(now_s)
        self._seen.add(tenant)
        if not self._kept_out(tenant):
            return None
        wait_s = self._behind.wait_s
        after = min(COME_BACK_MOST_S, max(1, math.ceil(self._coming_s - self._most_wait_s)))
        return Refusal(f"Accepted jobs wait {wait_s:.0f} s for the platform just now; it catches up first.", after)

    @property
    def _most(self) -> float:
        """How many jobs may come in during a step, here."""
        return max(LEAST, PART * self._behind.rate) * STEP_S / self._processes

    def _kept_out(self, tenant: str) -> bool:
        """The first half is for whoever comes; of the second nobody has more than an equal share."""
        most = self._most
        if self._total >= most:
            return True
        return self._total >= most / 2 and self._taken[tenant] >= max(1.0, most / len(self._recent | self._seen))

    def took(self, tenant: str, jobs: int, now_s: float) -> None:
        """So many jobs of a tenant were let in."""
        if self.standing:
            self._move(now_s)
            self._taken[tenant] += jobs
            self._total += jobs

    def _move(self, now_s: float) -> None:
        step = int(now_s / STEP_S)
        if step != self._step:
            # What one large submission took beyond a step is owed by the next ones.
            self._total = max(0, math.ceil(self._total - (step - self._step) * self._most))
            self._step, self._taken = step, Counter()
            self._recent, self._seen = frozenset(self._seen), set()
