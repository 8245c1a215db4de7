"""The attempts of a job as lines: as the platform tells them, else as far as the recording knows them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zjops.domain.clock import parse_rfc3339
from zjops.domain.text import one_line
from zjops.domain.wire import JobAttempt
from zjops.recording.rows import JobRow
from zjops.tui.figures import cell, clock, span
from zjops.tui.ink import BAD, BOLD, DIM, GOOD, PLAIN, WARN, Line, Span

MARKS: dict[str, Span] = {
    "running": ("  ◐ ", WARN), "retried": ("  ✖ ", BAD), "lost": ("  ✖ ", BAD), "failed": ("  ✖ ", BAD),
    "completed": ("  ● ", GOOD), "cancelled": ("  ● ", GOOD),
}  # fmt: skip
UNSEEN = "start not seen"


def attempt_lines(job: JobRow, told: Sequence[JobAttempt] | None, at_ms: int, width: int) -> list[Line]:
    """Every attempt as of a moment, oldest first; `told` is None where nobody was asked."""
    if told is None:
        return _recorded(job, at_ms)
    lines = [line for one in told if _ms(one.started_at, 0) <= at_ms for line in _told(one, at_ms, width)]
    return lines or _none(job)


def _none(job: JobRow) -> list[Line]:
    return [[("  none yet" if job.outcome is None else "  none: it ended before it was started", DIM)]]


def _ms(text: str | None, otherwise: int) -> int:
    return otherwise if text is None else parse_rfc3339(text)


def _told(one: JobAttempt, at_ms: int, width: int) -> list[Line]:
    began = None if one.started_at is None else parse_rfc3339(one.started_at)
    ended = None if one.ended_at is None else parse_rfc3339(one.ended_at)
    if ended is not None and ended > at_ms:
        return [_line("running", one.attempt, _runs(began, at_ms))]
    if one.outcome == "running":
        return [_line("running", one.attempt, _runs(began, at_ms))]
    if one.outcome == "lost":
        return [_line("lost", one.attempt, f"{_since(began)}  no word of its end came: its worker was gone")]
    ran = "" if began is None or ended is None else f" to {clock(ended)}  ran {span(ended - began)}"
    became = one.outcome if one.next_at is None else f"tried again from {clock(parse_rfc3339(one.next_at))}"
    lines = [_line(one.outcome, one.attempt, f"{_since(began)}{ran}  {became}")]
    if one.error is not None:
        why = one_line(f"{one.error.code}: {one.error.message}")
        lines.append([("      ", PLAIN), (cell(why, max(8, width - 7)).rstrip(), DIM)])
    return lines


def _line(outcome: str, number: int, text: str) -> Line:
    return [MARKS[outcome], (f"attempt {number}   ", BOLD), (text, PLAIN)]


def _since(began: int | None) -> str:
    return UNSEEN if began is None else f"from {clock(began)}"


def _runs(began: int | None, at_ms: int) -> str:
    return _since(began) if began is None else f"{_since(began)}  running for {span(at_ms - began)}"


def _recorded(job: JobRow, at_ms: int) -> list[Line]:
    """Events tell of the first start and of the end alone."""
    if not job.attempt:
        return _none(job)
    lines: list[Line] = [
        [(f"  ○ attempt {number}   ", DIM), ("tried again; when and why, the platform tells while it is live", DIM)]
        for number in range(1, job.attempt)
    ]
    began = job.started_at
    if job.ended_at is not None and job.processing_ms is not None and job.attempt > 1:
        began = job.ended_at - job.processing_ms
    if job.ended_at is None:
        return [*lines, _line("running", job.attempt, _runs(began, at_ms))]
    error = f" ({job.error_code})" if job.error_code else ""
    ran = "" if job.processing_ms is None else f"  ran {span(job.processing_ms)}"
    text = f"{_since(began)} to {clock(job.ended_at)}{ran}  {job.outcome}{error}"
    return [*lines, _line(job.outcome or "completed", job.attempt, text)]
