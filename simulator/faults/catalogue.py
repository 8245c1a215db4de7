"""Every fault that there is: what it does, what it can be done to, its parameters and their bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from zjops.domain.errors import Problem

Scope = Literal["process", "role", "link", "store", "broker"]
"""What a fault is done to: a whole process, the ports of a role process, a connection, a file, the broker."""


@dataclass(frozen=True)
class Param:
    """A number that a fault takes: its value when none is given, its bounds, and what it means."""

    usual: float
    least: float
    most: float
    meaning: str


@dataclass(frozen=True)
class Kind:
    """A fault: the one sentence that says what it does, and how long it lasts when nothing is said.

    Of scope `role`, it acts in processes that host one of `roles`; where there are none named, in every role process.
    """

    name: str
    scope: Scope
    meaning: str
    params: dict[str, Param]
    lease_s: float = 30.0
    roles: frozenset[str] = frozenset()

    def acts_in(self, roles: Iterable[str]) -> bool:
        """Whether it can do anything in a process of these roles."""
        there = frozenset(roles)
        return bool(there & self.roles if self.roles else there - PARTS)


PARTS = frozenset({"broker", "chain"})
"""Processes of these are programs of their own, around whose ports nothing of ours stands."""
STORING = frozenset({"api", "outbox", "settlement", "relayer"})
WRITING = STORING | {"worker"}
"""A worker uses no store, but keeps large results as blobs."""
PUBLISHING = frozenset({"api", "outbox", "worker"})
FETCHING = frozenset({"settlement", "worker"})
"""Those that acknowledge what they are handed; the meter follows its streams and acknowledges nothing."""
CHAIN, LOGGING = frozenset({"relayer"}), frozenset({"meter"})
SHARE = "how often, as a share of 1"
MS = "milliseconds"


def _kind(
    name: str, scope: Scope, meaning: str, lease_s: float = 30.0, roles: frozenset[str] = frozenset(), **params: Param
) -> tuple[str, Kind]:
    return name, Kind(name, scope, meaning, params, lease_s, roles)


KINDS: dict[str, Kind] = dict((
    _kind("kill", "process", "kill the process; it starts again when the lease ends", 0.0,
          every_s=Param(0, 0, 3600, "and again so often until the lease ends; 0 for once, held down for the lease")),
    _kind("stop", "process", "stop the process (SIGSTOP); it goes on when the lease ends"),
    _kind("continue", "process", "let a stopped or held process go on at once", 0.0),
    _kind("throttle", "process", "stop the process for a part of every period",
          stopped_ms=Param(90, 1, 10_000, "how long it stands in each period"),
          period_ms=Param(100, 2, 20_000, "how long a period is")),
    _kind("link.delay", "link", "hold each chunk of bytes back",
          ms=Param(500, 0, 60_000, f"how long, in {MS}"), jitter_ms=Param(0, 0, 60_000, "more or less by up to this")),
    _kind("link.hold", "link", "hold some chunks of bytes back",
          ms=Param(200, 0, 60_000, f"how long, in {MS}"), share=Param(0.1, 0, 1, SHARE)),
    _kind("link.reset", "link", "reset all connections",
          every_s=Param(30, 0, 3600, "and again so often until the lease ends; 0 for once")),
    _kind("link.cut", "link", "carry nothing and refuse new connections"),
    _kind("store.lock", "store", "another process holds the store's write lock"),
    _kind("store.delay", "role", "every call of the store takes longer", roles=STORING,
          ms=Param(300, 0, 60_000, f"how long, in {MS}"), jitter_ms=Param(50, 0, 60_000, "more or less by up to this")),
    _kind("store.slow_commit", "role", "every commit takes longer, as on a slow disk; whoever writes waits as long",
          roles=STORING,
          ms=Param(200, 0, 60_000, f"how long, in {MS}")),
    _kind("store.full", "role", "every write to the store and to blobs fails for want of space (ENOSPC)",
          roles=WRITING),
    _kind("log.full", "role", "no file of the event, request and OPS logs can be written for want of space (ENOSPC)",
          roles=LOGGING),
    _kind("store.page_limit", "role", "the store's file may not grow: SQLite itself says that it is full",
          roles=STORING,
          pages=Param(0, 0, 1_000_000, "how many pages it may still grow")),
    _kind("broker.lose_acks", "role", "the broker stores, and of some calls that publish no acknowledgement arrives",
          roles=PUBLISHING, share=Param(0.1, 0, 1, f"{SHARE}, of the calls")),
    _kind("broker.duplicate", "role", "some messages are delivered twice at once", roles=FETCHING,
          share=Param(0.2, 0, 1, SHARE)),
    _kind("broker.late", "role", "some acknowledgements are lost on the way, so that messages come again",
          roles=FETCHING, share=Param(0.2, 0, 1, SHARE)),
    _kind("broker.full", "broker", "the stream of events takes nothing more (its own limit)"),
    _kind("broker.cut_tail", "broker", "kill the broker, cut the tail of the event stream's file, start it again", 0.0,
          bytes=Param(4096, 1, 10_000_000, "how many bytes are lost")),
    _kind("chain.rate_limited", "role", "the node refuses some calls with 429", roles=CHAIN,
          share=Param(0.5, 0, 1, SHARE)),
    _kind("chain.stale_head", "role", "the node's newest block lies behind", roles=CHAIN,
          blocks=Param(8, 1, 1000, "how many blocks")),
    _kind("chain.fee_spike", "role", "the price of gas is multiplied", roles=CHAIN,
          factor=Param(1000, 1, 1e9, "by how much")),
    _kind("memory.ballast", "role", "fill a process up to a share of its own limit; refused if it is that full already",
          share=Param(0.8, 0, 1, "which share"),
          limit_mb=Param(256, 32, 65_536, "the limit in MB where the kernel sets this process none of its own")),
    _kind("clock.skew", "role", "the process's clock is wrong",
          seconds=Param(5, -86_400, 86_400, "how far ahead; negative for behind")),
))  # fmt: skip
LEASE_MOST_S = 3600.0
SEED_MOST = 2**31


def kind_of(name: str) -> Kind:
    """A fault by its name. Raises `Problem`."""
    if name not in KINDS:
        raise Problem("validation-failed", f"There is no fault {name}; there are {', '.join(KINDS)}.")
    return KINDS[name]


def params_of(kind: Kind, given: dict[str, float]) -> dict[str, float]:
    """What was given, checked, over what is usual. Raises `Problem`."""
    unknown = sorted(set(given) - set(kind.params))
    if unknown:
        there = f"it takes {', '.join(kind.params)}" if kind.params else "it takes none"
        raise Problem("validation-failed", f"{kind.name} has no parameter {', '.join(unknown)}; {there}.")
    chosen = {name: float(given.get(name, param.usual)) for name, param in kind.params.items()}
    for name, param in kind.params.items():
        if not param.least <= chosen[name] <= param.most:
            bounds = f"between {param.least:g} and {param.most:g}"
            raise Problem("validation-failed", f"{name} of {kind.name} must lie {bounds}.")
    return chosen
