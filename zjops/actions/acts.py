"""The acts, what they are about, and the door through which they are done."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from zjops.domain.errors import UsageError
from zjops.domain.wire_admin import AdminDelivery, AdminJob
from zjops.domain.wire_chain import RelayerView
from zjops.recording.rows import JobRow

REASON_MOST = 500
"""Characters that a reason may have in the audit log."""


class Act(enum.StrEnum):
    """What can be done; the value is the word that people type."""

    CANCEL = "cancel"
    RETRY = "retry"
    REDELIVER = "redeliver"
    PAUSE = "pause"
    RESUME = "resume"


RELAYER_ACTS = frozenset({Act.PAUSE, Act.RESUME})
"""Those that are about no job."""
_OBJECTS = {Act.CANCEL: ("job", "jobs"), Act.RETRY: ("dead letter", "dead letters"),
            Act.REDELIVER: ("delivery", "deliveries")}  # fmt: skip


def counted(act: Act, number: int) -> str:
    """So many of what an act is done to."""
    if act in RELAYER_ACTS:
        return "the relayer"
    one, many = _OBJECTS[act]
    return f"{number:,} {one if number == 1 else many}"


class Target(NamedTuple):
    """A job as far as an act needs to know it."""

    job_id: str
    tenant: str
    plan: str
    state: str
    units: int

    @classmethod
    def of_row(cls, row: JobRow) -> Target:
        """A job of a recording, as of the moment at which it was read."""
        return cls(row.job_id, row.tenant, row.plan, row.state, row.compute_units)

    @classmethod
    def of_view(cls, one: AdminJob) -> Target:
        """A job as the platform tells it."""
        return cls(one.job.job_id, one.tenant, one.plan, one.job.status.value, one.job.compute_units)


class Door(Protocol):
    """What an operator may do at a platform. Raises `Problem` for a refusal, `UnreachableError` for no answer."""

    def cancel_job(self, job_id: str, reason: str) -> None:
        """Ask for a job's end."""
        ...

    def retry_dead_letter(self, job_id: str, reason: str) -> str:
        """Submit a dead letter's work again; returns the id of its successor."""
        ...

    def redeliver(self, delivery_id: str, reason: str) -> None:
        """Deliver a webhook once more."""
        ...

    def pause_relayer(self, paused: bool, reason: str) -> None:
        """Hold confirmations back, or let them go on."""
        ...

    def dead_letter_ids(self) -> frozenset[str]:
        """The dead letters that nobody has retried."""
        ...

    def deliveries_of(self, job_ids: Sequence[str]) -> list[AdminDelivery]:
        """The webhook deliveries of these jobs."""
        ...

    def relayer(self) -> RelayerView:
        """How the relayer stands."""
        ...


Opener = Callable[[], AbstractContextManager[Door]]
"""Opens the door for as long as it is needed. Raises `UsageError`, `UnreachableError`."""


def checked_reason(text: str) -> str:
    """Why something is done, as it goes into the audit log. Raises `UsageError` for none and for a long one."""
    reason = text.strip()
    if not reason:
        raise UsageError("say why: the reason goes into the audit log")
    if len(reason) > REASON_MOST:
        raise UsageError(f"a reason has at most {REASON_MOST} characters, this one {len(reason):,}")
    return reason
