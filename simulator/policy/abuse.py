"""Abuse by rule: failed logins, spikes, linked accounts, and the ladder of actions (R59, R62, R64)."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

FAILURES_MOST = 20
FAILURES_WITHIN_S = 300.0
BAN_S = 900
SPIKE_FACTOR = 10
SPIKE_LEAST = 100
HISTORY_LEAST_MIN = 10
HISTORY_MIN = 60
FREE_ACCOUNTS_MOST = 1
PAYMENT_ACCOUNTS_MOST = 3


def earns_ban(failures: int) -> bool:
    """Whether so many failed logins within the window, whichever process saw them, earn an address its ban (R59)."""
    return failures >= FAILURES_MOST


class Spike:
    """Requests of one tenant by the minute, against its own past hour."""

    __slots__ = ("_count", "_minute", "_past", "_told")

    def __init__(self) -> None:
        self._minute, self._count, self._told = -1, 0, False
        self._past: deque[int] = deque(maxlen=HISTORY_MIN)

    def add(self, minute: int) -> int | None:
        """Count a request; once in a minute that has become a spike, how many times the usual it is."""
        if minute != self._minute:
            self._turn(minute)
        self._count += 1
        if self._told or self._count < SPIKE_LEAST or len(self._past) < HISTORY_LEAST_MIN:
            return None
        usual = max(1.0, sum(self._past) / len(self._past))
        if self._count < SPIKE_FACTOR * usual:
            return None
        self._told = True
        return round(self._count / usual)

    def _turn(self, minute: int) -> None:
        if self._minute >= 0:
            self._past.append(self._count)
            self._past.extend([0] * min(HISTORY_MIN, minute - self._minute - 1))
        self._minute, self._count, self._told = minute, 0, False


class SignalKind(enum.StrEnum):
    """By what two accounts can be seen to belong together (R61)."""

    ADDRESS = "ip"
    DEVICE = "device"
    PAYMENT = "payment"


class Step(enum.StrEnum):
    """The ladder (R64), in its order."""

    NONE = "none"
    WARNING = "warning"
    MERGE = "merge"
    SUSPENSION = "suspension"
    BAN = "ban"


LADDER = tuple(Step)


def next_step(step: Step) -> Step:
    """One rung higher; a ban stays."""
    return LADDER[min(LADDER.index(step) + 1, len(LADDER) - 1)]


class Breach(NamedTuple):
    """Which rule a tenant broke, with whom."""

    rule: str
    others: tuple[str, ...]


def breach(kind: SignalKind, tenant: str, plan: str, sharing: Mapping[str, str]) -> Breach | None:
    """Whether a tenant may share a signal with others, given as plan by tenant without itself (R62)."""
    if kind is SignalKind.PAYMENT:
        found = tuple(sorted(sharing))
        return Breach("payment-accounts", found) if len(found) + 1 > PAYMENT_ACCOUNTS_MOST else None
    free = tuple(sorted(name for name, other in sharing.items() if other == "free"))
    if plan != "free" or len(free) + 1 <= FREE_ACCOUNTS_MOST:
        return None
    return Breach("free-accounts", free)
