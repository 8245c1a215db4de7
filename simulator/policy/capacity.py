"""How many submissions may be under way at once, so that what is let in is answered soon: shed first, never collapse.

By Little's law what is under way is the rate times the wait. The rate that a process can do is not known beforehand and
changes; it is taken from what it has done lately, so that a fast machine lets more in than a slow one.

A short crowd may wait long, for the process will have caught up with it soon. One that stays makes everyone wait as
long as the limit allows, whatever the limit is, and for nothing: then the limit is low, after the idea of CoDel
(RFC 8289), which tells a standing queue from a good one by how long it has stood.
"""

from __future__ import annotations

from collections import Counter, deque

from simulator.policy.admission import Refusal

LEAST, LEAST_KNOWN = 512, 256
"""What may be under way however little was done lately: an idle process takes a burst, and of one that has just refused
it is known what it can do."""
STANDING_WAIT_S, STANDING_LEAST = 0.06, 128
"""Both for a crowd that stays: enough to be at work while a commit is made."""
STANDING_OF, STANDING_FROM = 12, 8
"""A crowd stays when of so many steps so many had a refusal, and until none of them has."""
STEP_S = 0.25
STEPS = 40
"""The rate is the best of the last ten seconds, in steps of a quarter."""
CROWDED = 0.5
"""From this share of the limit on, each tenant has but its share: a flood makes nobody else wait."""

_FULL = Refusal("The platform has as much to do as it can answer in time.", 1)


class Capacity:
    """What is under way in one process, by tenant. `wait_s` is how long a request may have to wait for its answer."""

    def __init__(self, wait_s: float, least: int = LEAST) -> None:
        self._wait_s, self._least = wait_s, least
        self._under_way: Counter[str] = Counter()
        self._total = 0
        self._step = 0
        self._done = 0
        self._rates: deque[float] = deque(maxlen=STEPS)
        self._best = 0.0
        self._refused, self._refusing, self._standing = False, False, False
        self._before = 0
        """The limit of the step before."""
        self._refusals: deque[bool] = deque(maxlen=STANDING_OF)
        self._recent: frozenset[str] = frozenset()
        self._seen: set[str] = set()

    @property
    def crowded(self) -> bool:
        """Whether anyone may be refused at all."""
        return self._total >= CROWDED * self.limit

    @property
    def limit(self) -> int:
        """How many may be under way."""
        least, wait_s = self._least, self._wait_s
        if self._refusing:
            least = min(least, LEAST_KNOWN)
        if self._standing:
            least, wait_s = min(least, STANDING_LEAST), min(wait_s, STANDING_WAIT_S)
        return max(least, round(self._best * wait_s))

    def begin(self, tenant: str, now_s: float) -> Refusal | None:
        """Let one in, which is to be followed by `end`; or say why not."""
        refused = self.refusal(tenant, now_s)
        if refused is None:
            self._under_way[tenant] += 1
            self._total += 1
        return refused

    def refusal(self, tenant: str, now_s: float) -> Refusal | None:
        """Why one would not be let in now; None when it would be."""
        self._move(now_s)
        self._seen.add(tenant)
        if self._total >= CROWDED * self.limit and self._kept_out(tenant):
            self._refused = True
            return _FULL
        return None

    def _kept_out(self, tenant: str) -> bool:
        """Whether a tenant has its share of a crowd.

        Among several nobody has more than half, and when it is full nobody more than an equal share; whose own share is
        free is kept out only when there is no room at all.
        """
        limit, sharers = self.limit, len(self._recent | self._seen)
        full = self._total >= limit
        share = limit // sharers if full else round(CROWDED * limit)
        # A limit that has just become lower keeps nobody out for what the former one let in.
        most = 2 * max(limit, self._before)
        return ((sharers > 1 or full) and self._under_way[tenant] >= max(1, share)) or self._total >= most

    def end(self, tenant: str, now_s: float) -> None:
        """One has been answered."""
        self._move(now_s)
        self._done += 1
        self.forgo(tenant)

    def forgo(self, tenant: str) -> None:
        """One is under way no more and was not answered: it says nothing of how many can be."""
        self._total -= 1
        self._under_way[tenant] -= 1
        if not self._under_way[tenant]:
            del self._under_way[tenant]

    def _move(self, now_s: float) -> None:
        """Close the steps that are over."""
        step = int(now_s / STEP_S)
        if step == self._step:
            return
        if step - self._step > STEPS:
            self._rates.clear()
        self._before = self.limit
        self._rates.append(self._done / STEP_S)
        self._rates.extend([0.0] * min(STEPS, step - self._step - 1))
        self._best = max(self._rates)
        self._refusals.append(self._refused)
        self._refusals.extend([False] * min(STANDING_OF, step - self._step - 1))
        self._refused = False
        self._refusing = any(self._refusals)
        self._standing = self._refusing if self._standing else sum(self._refusals) >= STANDING_FROM
        self._step, self._done = step, 0
        self._recent, self._seen = frozenset(self._seen), set()
