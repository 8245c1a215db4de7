"""Jobs: what may be asked, which states there are, and which state may follow which."""

from __future__ import annotations

import enum


class JobState(enum.StrEnum):
    """The public states of a job (R14)."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CONFIRMED = "confirmed"


class JobType(enum.StrEnum):
    """What kind of work a job is (R3)."""

    COMPUTE_HEAVY = "compute_heavy"
    DATA_PROCESSING = "data_processing"
    ML_INFERENCE = "ml_inference"


class Priority(enum.StrEnum):
    """The three subject bands behind the public priority 0..10 (C37)."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Charge(enum.StrEnum):
    """What became of the compute units reserved at acceptance: every reservation is settled exactly once (C70)."""

    HELD = "held"
    CHARGED = "charged"
    RELEASED = "released"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset(
        {JobState.PROCESSING, JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED},
    ),
    JobState.PROCESSING: frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}),
    JobState.COMPLETED: frozenset({JobState.CONFIRMED}),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.CONFIRMED: frozenset(),
}

TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.CONFIRMED})
"""States in which a job no longer runs."""

ACTIVE = frozenset({JobState.PENDING, JobState.PROCESSING})
"""States in which a job may still be cancelled and counts against the concurrency cap."""

ANCHORED = frozenset({JobState.COMPLETED, JobState.FAILED})
"""States whose outcome is recorded on chain (C70, C91)."""

INVALID_PARAMETERS = "invalid_parameters"
"""The error code of a failure that was the client's fault, and is therefore charged (C70)."""

MAX_ATTEMPTS = 5
"""Claims after which a job is a dead letter (R90's sibling for work; C84)."""

RETRIED = "retried"
"""What became of an attempt after which another one follows."""

DEFAULT_PRIORITY = 5
DEFAULT_TIMEOUT_S = 3600
MIN_TIMEOUT_S = 60
MAX_TIMEOUT_S = 86_400
INLINE_RESULT_BYTES = 20_000
"""Results up to this size travel and are served inline, larger ones by address (C25)."""

CLAIM_CHECK_BYTES = 256_000
"""Parameters above this size are stored as a blob; the message then carries their digest (C17)."""

_ORDER = {
    JobState.PENDING: 0,
    JobState.PROCESSING: 1,
    JobState.COMPLETED: 2,
    JobState.FAILED: 2,
    JobState.CANCELLED: 2,
    JobState.CONFIRMED: 3,
}


def may_follow(before: JobState, after: JobState) -> bool:
    """Whether a job in state `before` may go to `after`."""
    return after in TRANSITIONS[before]


def went_back(before: JobState, after: JobState) -> bool:
    """Whether a reader who saw `before` and later `after` saw a job that cannot be."""
    if before == after:
        return False
    return _ORDER[after] <= _ORDER[before]


def band(priority: int) -> Priority:
    """The subject band of a public priority: high 8-10, normal 3-7, low 0-2 (C37)."""
    if priority >= 8:
        return Priority.HIGH
    return Priority.NORMAL if priority >= 3 else Priority.LOW


class OutcomeKind(enum.StrEnum):
    """How one attempt ended, as the worker saw it. Settlement decides what follows."""

    DONE = "done"
    CLIENT_FAULT = "client_fault"
    FAILED = "failed"
    RETRY = "retry"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    EXHAUSTED = "exhausted"


CHAIN_STATUS = {JobState.COMPLETED: 1, JobState.FAILED: 2}
"""The contract's status of an anchored state (R68)."""
