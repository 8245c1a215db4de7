"""What the recording holds, as values: jobs, batches, seconds and readings. Moments are Unix ms unless said."""

from __future__ import annotations

from typing import NamedTuple

from zjops.domain.jobs import JobState


class JobRow(NamedTuple):
    """A job with the moment of every hop; `n` is its place in the order in which jobs were first seen."""

    n: int
    job_id: str
    tenant: str
    plan: str
    job_type: str
    state: str
    outcome: str | None
    accepted_at: int
    started_at: int | None
    ended_at: int | None
    final_at: int | None
    attempt: int
    processing_ms: int | None
    payload_bytes: int
    compute_units: int
    charge: str
    error_code: str | None
    batch_id: int | None
    chain_sequence: int | None
    leaf_index: int | None
    tx_hash: str | None
    block_number: int | None
    gas_share: int | None
    trace_id: str | None

    def state_at(self, at: int) -> str:
        """The state that it had at a moment."""
        if self.outcome == JobState.COMPLETED and _by(self.final_at, at):
            return JobState.CONFIRMED
        if self.outcome is not None and _by(self.ended_at or self.final_at, at):
            return self.outcome
        return JobState.PROCESSING if _by(self.started_at, at) else JobState.PENDING

    def as_of(self, at: int) -> JobRow:
        """The same job without what had not happened yet at a moment."""
        row = self._replace(state=self.state_at(at))
        if not _by(self.final_at, at):
            row = row._replace(
                final_at=None, batch_id=None, chain_sequence=None, leaf_index=None, tx_hash=None, block_number=None,
                gas_share=None,
            )  # fmt: skip
        if not _by(self.ended_at or self.final_at, at):
            # Which attempt it was by then is not told before the end: that it is started is told once.
            row = row._replace(
                ended_at=None, outcome=None, processing_ms=None, charge="held", error_code=None,
                attempt=min(1, row.attempt),
            )  # fmt: skip
        if not _by(self.started_at or self.ended_at or self.final_at, at):
            row = row._replace(attempt=0)
        return row if _by(self.started_at, at) else row._replace(started_at=None)


COLUMNS = JobRow._fields


class BatchRow(NamedTuple):
    """A batch on its way to the chain."""

    batch_id: int
    jobs: int
    closed_at: int
    sent_at: int | None
    mined_at: int | None
    final_at: int | None
    block_number: int | None
    tx_hash: str | None
    gas_used: int | None
    gas_price_wei: str | None
    repairs: int

    def state_at(self, at: int) -> str:
        """Its state at a moment; it counts as mined from when that was first seen, which may never have been."""
        for state, since in (("final", self.final_at), ("mined", self.mined_at), ("sent", self.sent_at)):
            if _by(since, at):
                return state
        return "closed"

    def as_of(self, at: int) -> BatchRow:
        """The same batch without what had not happened yet at a moment."""
        state = self.state_at(at)
        row = self._replace(
            sent_at=self.sent_at if _by(self.sent_at, at) else None,
            mined_at=self.mined_at if _by(self.mined_at, at) else None,
            final_at=self.final_at if state == "final" else None,
        )  # fmt: skip
        if state in ("closed", "sent"):
            row = row._replace(block_number=None, gas_used=None, gas_price_wei=None)
        return row if state != "closed" else row._replace(tx_hash=None)


class OpenBatches(NamedTuple):
    """Batches that were not final at a moment: by their state, with their jobs, and since when the oldest waits."""

    closed: int = 0
    sent: int = 0
    mined: int = 0
    jobs: int = 0
    oldest_at: int | None = None
    newest: int | None = None

    @property
    def batches(self) -> int:
        """All of them."""
        return self.closed + self.sent + self.mined


class Second(NamedTuple):
    """How many events of each type happened in one second of Unix time."""

    second: int
    submitted: int = 0
    processing: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    confirmed: int = 0


class Traffic(NamedTuple):
    """Answered requests of one second, source and plan."""

    second: int
    source: str
    plan: str
    total: int
    good: int
    refused: int
    bad: int
    within_300ms: int
    within_500ms: int
    histogram: tuple[int, ...]


class Depth(NamedTuple):
    """How many jobs wait at a stage, and since when the oldest does."""

    jobs: int
    oldest_at: int | None


class ErrorGroup(NamedTuple):
    """Failures of one code and type of job; `sample` is the place of the newest."""

    error_code: str
    job_type: str
    jobs: int
    first_at: int
    last_at: int
    tenants: int
    sample: int


class Act(NamedTuple):
    """What an operator or a policy did."""

    at: int
    kind: str
    actor: str
    action: str
    tenant: str | None
    reason: str | None


class Outage(NamedTuple):
    """A source that does not answer, since when and why."""

    source: str
    since: int
    reason: str


def _by(moment: int | None, at: int) -> bool:
    return moment is not None and moment <= at
