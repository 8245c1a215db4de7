"""The chain's pulse: whether blocks come, whether the node goes back, and how fast it answers."""

from __future__ import annotations

from typing import NamedTuple

from simulator.relayer.reporting import Kind
from simulator.relayer.timing import Timed
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import ChainUnavailable

BACK_MOST = 1
"""Nodes behind one address may differ by a block; a head that goes back further is a stale one."""
SLOW_S = 1.0
"""A node that takes this long for an answer is slow, and is so until it takes less than half of it."""


class Felt(NamedTuple):
    """What is to be said of a look that went well."""

    kind: Kind
    code: str = ""
    text: str = ""


class Pulse:
    """What is remembered of the chain from one look to the next."""

    def __init__(self, chain: Timed, clock: Clock, telemetry: Telemetry, stalled_after_s: float) -> None:
        self._chain, self._clock, self._telemetry, self._stalled_after_s = chain, clock, telemetry, stalled_after_s
        self._highest, self._since = -1, float("-inf")
        self._slow = False

    def see(self, head: int) -> None:
        """Take note of the newest block. Raises `ChainUnavailable` when it is one of long ago."""
        if head + BACK_MOST < self._highest:
            raise ChainUnavailable(f"the head went back from block {self._highest} to {head}", "node_behind")
        if head > self._highest:
            self._highest, self._since = head, self._clock.monotonic()

    def feel(self) -> Felt:
        """How the chain was in this look; asked once, at its end."""
        mean_s = self._chain.mean_s()
        self._telemetry.gauge("relayer_answer_seconds", mean_s)
        self._slow = mean_s >= (SLOW_S / 2 if self._slow else SLOW_S)
        if self._clock.monotonic() - self._since >= self._stalled_after_s:
            text = f"the chain has made no block after {self._highest} for {self._stalled_after_s:g} s and more"
            return Felt("waiting", "chain_stalled", text)
        if self._slow:
            return Felt("slow", "rpc_slow", f"the node takes {mean_s:.1f} s for an answer")
        return Felt("active")
