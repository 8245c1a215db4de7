"""How far the platform is behind with what it accepted, and how much may come in while it catches up.

To accept a job is quicker than to run, settle and anchor it, so a platform that only looks at its answers lets in for
minutes what it will need many more minutes for. A crowd that passes may: the queue is there for it. One that stays
makes everybody's job late, and is let in at less than what gets done until the wait is short again, after the idea of
CoDel (RFC 8289), where a queue is bad by how long it has stood.

How long what is settled now has waited tells of the past: of the crowd that came then, though it may have been refused
ever since. What comes now waits for the jobs that are there, at the rate at which they are done (Little's law), and
whoever is refused is told to come back when enough of them are. So no wait is believed that only the clocks of two
processes make.

Only the wait for the platform itself counts. Jobs that wait for slots which other jobs use are what a queue is for, and
while nothing is settled at all (no worker, no broker) this says nothing: then the number of jobs is the bound.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from simulator.policy.admission import Refusal

PATIENCE_S = 5.0
"""For so long the wait must have been too long before anybody is refused."""
REMEMBERED_S = 60.0
"""For so long after the last refusals there is no patience: it is the same crowd, and each time it would grow anew."""
PART, CALM_PART = 0.5, 0.75
"""Of what gets done, this part may come in meanwhile: the rest of the work is for what waits. The larger one where no
more than that is asked: the crowd has passed, and what waits is worked off all the same."""
LEAST = 50.0
"""Jobs a second that may come in however little gets done."""
STEP_S = 1.0
LEARNT_S = 2 * STEP_S
"""So long after work goes on it is known how much gets done."""
SLOTS_IN_USE = 0.5
"""From this share of the workers' slots on, jobs wait for each other and not for the platform."""
COME_BACK_MOST_S = 30
GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, without their whole parts, lie evenly between 0 and 1 however many there are."""
WORTH_S = 1.0
FRESH_S = 5.0
"""What was said longer ago says nothing of now."""


class Behind(NamedTuple):
    """How long what was settled last had waited for the platform, and how many jobs a second are settled."""

    wait_s: float = 0.0
    rate: float = 0.0


class Pace:
    """Counts what is settled, and says once a step how far behind that was. `slots` are those of all workers."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._since: float | None = None
        self._waits: list[int] = []
        self._ran_ms = self._count = 0

    def waited(self, waited_ms: int) -> None:
        """A job that ended with its first attempt was settled after it had waited so long."""
        self._waits.append(waited_ms)

    def ran(self, ran_ms: int) -> None:
        """An attempt that has ended used a slot for so long."""
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


class Backlog:
    """Who may come in while the platform is behind. `processes` of the interface share what may."""

    def __init__(self, most_wait_s: float, processes: int = 1) -> None:
        self._most_wait_s, self._processes = most_wait_s, processes
        self._behind, self._coming_s = Behind(), 0.0
        self._late_since: float | None = None
        self._stood_at = -math.inf
        self._refusals = 0
        self.standing = False
        """Whether anyone may be refused at all."""
        self._step, self._most = -1, 0.0
        """The step that runs, and how many jobs may come in during it, here."""
        self._taken: Counter[str] = Counter()
        self._total = self._asked = 0
        self._owed: Counter[str] = Counter()
        """What was taken beyond the shares of steps that are over, by tenant."""
        self._seen = set[str]()
        self._sharers = set[str]()
        """Who asks in this step, who did in the last one, and who owes."""

    def see(self, behind: Behind, active_jobs: int, now_s: float) -> None:
        """What the platform says of itself now, and how many jobs it has to do."""
        self._coming_s = active_jobs / behind.rate if behind.rate > 0 else behind.wait_s
        # One that will be too long is not yet so for those who came: a crowd that passes may come in.
        self._behind = behind._replace(wait_s=min(behind.wait_s, self._coming_s))
        if self._behind.wait_s <= self._most_wait_s:
            self._late_since, self.standing = None, False
            self._owed, self._taken, self._total = Counter(), Counter(), 0
            return
        patience_s = PATIENCE_S if now_s > self._stood_at + REMEMBERED_S else 0.0
        if self._late_since is None:
            # What is settled now was too late so long ago already. But how much gets done is not known at once.
            late_s = min(self._behind.wait_s - self._most_wait_s, PATIENCE_S - LEARNT_S)
            self._late_since = now_s - late_s
            self.standing = not patience_s
        else:
            self.standing = now_s - self._late_since >= patience_s

    def refusal(self, tenant: str, now_s: float) -> Refusal | None:
        """Why a submission is not let in now; None when it is."""
        if not self.standing:
            return None
        self._move(now_s)
        self._asked += 1
        self._seen.add(tenant)
        self._sharers.add(tenant)
        if not self._kept_out(tenant):
            return None
        self._stood_at = now_s
        why = f"Accepted jobs wait {self._behind.wait_s:.0f} s for the platform just now; it catches up first."
        return Refusal(why, self._come_back_s())

    def _come_back_s(self) -> int:
        """When to come back: spread over the time until it has caught up, or else all would come back together.

        Of what gets done a part comes in anew meanwhile, so that some may come back before, and have to.
        """
        self._refusals += 1
        most_s = min(COME_BACK_MOST_S, (self._coming_s - self._most_wait_s) / (1 - PART))
        return max(1, math.ceil(most_s * (self._refusals * GOLDEN % 1)))

    def _kept_out(self, tenant: str) -> bool:
        """The first half is for whoever comes. Of the second nobody has more than an equal share, and everybody that.

        Who took more than a step's share, by a large submission, has none until that is paid; it is at nobody else's
        cost.
        """
        owed, taken = self._owed[tenant], self._taken[tenant]
        if owed >= self._share:
            return True
        if self._total < self._most / 2:
            return False
        return owed + taken >= self._share if taken else len(self._taken) >= max(1.0, self._most)

    @property
    def _share(self) -> float:
        return max(1.0, self._most / max(1, len(self._sharers)))

    def forgo(self, tenant: str) -> None:
        """One that was let in will bring nothing."""
        for counts in (self._taken, self._owed):
            if counts[tenant] > 0:
                counts[tenant] -= 1
                self._total -= counts is self._taken
                if not counts[tenant]:
                    del counts[tenant]
                return

    def took(self, tenant: str, jobs: int, now_s: float) -> None:
        """So many jobs of a tenant were let in; fewer than none where one that was counted brought nothing."""
        if not self.standing or not jobs:
            return
        self._move(now_s)
        if jobs < 0:
            self.forgo(tenant)
        else:
            self._taken[tenant] += jobs
            self._total += jobs

    def _move(self, now_s: float) -> None:
        step = int(now_s / STEP_S)
        if step == self._step:
            return
        paid = (step - self._step) * self._share
        due = self._owed + self._taken
        self._owed = Counter({tenant: math.ceil(jobs - paid) for tenant, jobs in due.items() if jobs > paid})
        done = self._behind.rate * STEP_S / self._processes
        part = CALM_PART if self._asked <= CALM_PART * done else PART
        self._step, self._taken, self._total, self._asked = step, Counter(), 0, 0
        self._sharers, self._seen = self._seen | self._owed.keys(), set()
        self._most = max(LEAST * STEP_S / self._processes, part * done)
