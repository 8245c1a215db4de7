"""Why a job is not further than it is: the first thing on its way that holds it up. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zjops.client.standing import standstill, way_on
from zjops.domain.clock import parse_rfc3339
from zjops.domain.jobs import JobState
from zjops.domain.text import numbered
from zjops.domain.wire import JobAttempt
from zjops.recording.rows import BatchRow, JobRow
from zjops.tui.figures import span
from zjops.tui.pipeline import Facts, batch_text

PATIENCE_MS = {"pending": 2_000, "processing": 60_000, "settled": 20_000}
"""From when on a job counts as stuck at a stage, and not as being on its way."""


def stage_of(job: JobRow) -> str | None:
    """Where a job waits: `pending`, `processing`, `settled`; None when nothing about it will change any more."""
    if job.state in (JobState.PENDING, JobState.PROCESSING):
        return job.state
    return None if job.final_at is not None or job.state == JobState.CANCELLED else "settled"


def waits_ms(job: JobRow, at_ms: int) -> int:
    """Since when it waits there."""
    since = (job.ended_at, job.started_at, job.accepted_at)
    return max(0, at_ms - next(moment for moment in since if moment is not None))


def because(job: JobRow, facts: Facts, batch: BatchRow | None, tried: Sequence[JobAttempt] | None = None) -> str | None:
    """A sentence about what it waits for; None for a job that has arrived. `batch` is the one that must hold it,
    `tried` its attempts, where the platform told them."""
    stage = stage_of(job)
    if stage is None:
        return None
    waited = waits_ms(job, facts.instant.at_ms)
    word = "stuck" if waited > PATIENCE_MS[stage] else "on its way"
    if stage == "settled":
        reason = _settled(facts, batch)
    else:
        reason = _pending(facts) if stage == JobState.PENDING else _processing(job, facts, tried or ())
    return f"{word} for {span(waited)} because {reason}"


def _wait(number: int, what: str) -> str:
    return f"{numbered(number, what)} {'waits' if number == 1 else 'wait'}"


def _away(facts: Facts, *sources: str) -> str | None:
    for outage in facts.outages:
        if outage.source in sources:
            return f"the {outage.source} has been away for {span(facts.instant.at_ms - outage.since)} ({outage.reason})"
    return None


def _pending(facts: Facts) -> str:
    state, depth = facts.platform, facts.depths.get("pending")
    if away := _away(facts, "broker", "API"):
        return away
    if state is not None and state.unpublished and (state.oldest_unpublished_ms or 0) > 1_000:
        held, oldest = numbered(state.unpublished, "row"), span(state.oldest_unpublished_ms)
        why = "no relay publishes them, or it gives way to submissions"
        return f"the outbox holds {held}, the oldest for {oldest}: {why}"
    if not facts.recent.processing and not facts.depths.get("processing", (0, None))[0]:
        return "no worker takes work: none runs and none was started in 10 s; see zjops status"
    ahead = 0 if depth is None else max(0, depth.jobs - 1)
    return f"{_wait(ahead, 'other job')} for a worker too, and {facts.recent.processing / 10:.1f} a second are taken"


def _processing(job: JobRow, facts: Facts, tried: Sequence[JobAttempt]) -> str:
    if away := _away(facts, "broker"):
        return away
    at_ms = facts.instant.at_ms
    begun = [one for one in tried if one.started_at is None or parse_rfc3339(one.started_at) <= at_ms]
    last = begun[-1] if begun else None
    if last is not None and last.ended_at is not None and parse_rfc3339(last.ended_at) <= at_ms:
        return _between(last, at_ms)
    number = job.attempt if last is None else last.attempt
    attempt = f"attempt {number}" if number else "the first attempt"
    return f"a worker runs {attempt} of it; it ends by itself, by its time-out or by cancelling it"


def _between(last: JobAttempt, at_ms: int) -> str:
    """No worker has it: an attempt has ended, and the next has not begun."""
    became = f"attempt {last.attempt} {last.outcome if last.error is None else f'failed by {last.error.code}'}"
    if last.next_at is None:
        return f"{became}, and what becomes of that is not settled yet"
    left, following = parse_rfc3339(last.next_at) - at_ms, f"attempt {last.attempt + 1}"
    if left > 0:
        return f"{became} and {following} is due in {span(left)}"
    return f"{became} and {following}, due for {span(-left)}, waits for a worker"


def _settled(facts: Facts, batch: BatchRow | None) -> str:
    view = facts.relayer
    if away := _away(facts, "chain"):
        return away
    if view is None:
        return "its batch is not known yet: the relayer was not read"
    why = standstill(view)
    if why is not None:
        return f"{why}; see {way_on(view)}"
    if batch is None:
        return f"the relayer has not closed its batch yet; {_wait(view.waiting_jobs, 'job')} for one"
    return f"batch {batch.batch_id} is {batch_text(batch, facts)}, and its block must be final ({view.finality})"
