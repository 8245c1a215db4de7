"""What one process knows of one tenant's requests: looked up once a request, then handed on with its context."""

from __future__ import annotations

import math

from simulator.policy.abuse import Spike
from simulator.policy.breaker import Breaker
from simulator.policy.ratelimit import Bucket, RateDecision, take
from zjops.domain.plans import Plan


class Desk:
    """A tenant's bucket, breaker and traffic.

    `share` is what this process grants a second of the plan's limit; `devices` counts fingerprints that were looked at.
    """

    __slots__ = ("_capacity", "_plan", "_rate", "breaker", "bucket", "devices", "share", "spike")

    def __init__(self) -> None:
        self.bucket: Bucket | None = None
        self.breaker, self.spike = Breaker(), Spike()
        self.devices = 0
        self._plan: Plan | None = None
        self._rate, self._capacity, self.share = 1.0, 1, 1

    def take(self, plan: Plan, processes: int, now_ms: int) -> RateDecision:
        """One token of the bucket, by the plan as it stands."""
        if plan is not self._plan:
            self._plan, self._rate = plan, plan.requests_per_second / processes
            self.share = max(1, math.floor(self._rate))
            self._capacity = max(1, math.floor(self._rate * plan.burst_seconds))
        self.bucket, decision = take(self.bucket, self._rate, self._capacity, now_ms)
        return decision
