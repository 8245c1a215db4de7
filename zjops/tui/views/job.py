"""One job: its way from request to finality with the time of every hop, what it cost, and why it is not further."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from zjops.domain.errors import ZjopsError
from zjops.domain.jobs import JobState
from zjops.domain.wire import JobAttempt
from zjops.feed.messages import Verdict
from zjops.recording.reader import Recording
from zjops.tui.figures import clock
from zjops.tui.ink import DIM, WARN, Line
from zjops.tui.jobsheet import CHECKING, Seen, Told, draw
from zjops.tui.moment import Instant
from zjops.tui.pipeline import facts_of
from zjops.tui.station import Station
from zjops.tui.views.base import View
from zjops.tui.widgets import Sheet

AGAIN_MS = 2_000


def attempts_in(told: dict[str, Any]) -> list[JobAttempt] | None:
    """The attempts of a job's detail; None from a platform that tells of none."""
    found = told.get("job", {}).get("attempts")
    return None if found is None else msgspec.convert(found, list[JobAttempt])


class Job(View):
    """The view of one job."""

    NAME, TITLE = "job", "job"
    HINTS = (
        ("Esc", "back"), ("v", "verify its proof"), ("o", "logs of its trace"), ("c", "copy id"), ("y", "JSON"),
        ("[ ]", "step"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "logs", "logs", show=False), Binding("v", "verify", "verify", show=False),
    ]  # fmt: skip

    def __init__(self, station: Station) -> None:
        super().__init__(station)
        self.job_id: str | None = None
        self._seen: Seen | None = None
        self._told: Told = None
        self._tried: list[JobAttempt] | None = None
        self._told_of: str | None = None
        self._asked_ms, self._asking = 0, False
        self._verdict: Verdict | str | None = None

    def compose(self) -> ComposeResult:
        yield Sheet()

    def enter(self, argument: str | None) -> None:
        if argument is not None:
            self.job_id, self._seen, self._told, self._verdict = argument, None, None, None
            self._told_of = self._tried = None
            self.query_one(Sheet).top = 0

    def _ask_once(self, state: str, at_ms: int) -> None:
        """Ask for attempts, result and deliveries; again when the job has come further, and now and then while it may
        be tried again, which no event tells."""
        if self.station.details is None or self.job_id is None:
            return
        # Whoever asks anew gives up what was asked before: of a slow platform there would never be an answer.
        later = state == JobState.PROCESSING and not self._asking and at_ms - self._asked_ms >= AGAIN_MS
        if self._told_of != state or later:
            self._told_of, self._asked_ms, self._asking = state, at_ms, True
            self.run_worker(self._ask(self.job_id), group="details", exclusive=True)

    async def _ask(self, job_id: str) -> None:
        assert self.station.details is not None
        told: Told
        try:
            told = await asyncio.to_thread(self.station.details, job_id) or "the platform does not know it any more"
        except ZjopsError as exc:
            told = str(exc)
        self._asking = False
        if job_id == self.job_id:
            self._told = told
            if isinstance(told, dict):
                self._tried = attempts_in(told)
            self.app.reload()  # type: ignore[attr-defined]

    def read(self, recording: Recording, instant: Instant) -> Seen | None:
        job = None if self.job_id is None else recording.job(self.job_id, instant.at_ms)
        if job is None:
            return None
        at, ended = instant.at_ms, job.ended_at or job.accepted_at
        batch = None if job.batch_id is None else recording.batch(job.batch_id, at)
        after = None if job.final_at is not None else recording.batch_after(ended, at)
        return Seen(job, batch, facts_of(recording, instant), after)

    def show(self, found: Seen | None, instant: Instant) -> None:
        self._seen, sheet = found, self.query_one(Sheet)
        if found is None or found.job.job_id != self.job_id:
            sheet.put(self._nothing(instant))
            return
        if instant.live:
            self._ask_once(found.job.state, instant.at_ms)
        # What was tried before a moment stays as it was; everything else is told as of now.
        told = self._told if instant.live else None
        sheet.put(draw(found, told, self._verdict, sheet.size.width or 80, self._tried))

    def _nothing(self, instant: Instant) -> list[Line]:
        if self.job_id is None:
            return [[("No job is chosen: open one in the list (2, then Enter), or with  :job ID", DIM)]]
        return [[(f"{self.job_id} is not in this recording at {clock(instant.at_ms)}", WARN)]]

    def action_logs(self) -> None:
        """Its lines in the logs."""
        if self._seen is not None:
            trace = self._seen.job.trace_id or self._seen.job.job_id
            self.app.open_view("logs", trace)  # type: ignore[attr-defined]

    def action_verify(self) -> None:
        """Derive its proof again and hold it against the chain, as both are now."""
        if self.job_id is None or self._verdict == CHECKING:
            return
        self._verdict = CHECKING
        self.run_worker(self._verify(self.job_id), group="verify", exclusive=True)
        self.app.reload()  # type: ignore[attr-defined]

    async def _verify(self, job_id: str) -> None:
        verdict: Verdict | str
        if self.station.verify is None:
            verdict = "there is no platform to ask for the proof; with one, or with a bundle: zjops jobs verify"
        else:
            try:
                verdict = await asyncio.to_thread(self.station.verify, job_id)
            except ZjopsError as exc:
                verdict = f"not checked: {exc}"
        if job_id == self.job_id:
            self._verdict = verdict
            self.app.reload()  # type: ignore[attr-defined]

    def copied(self) -> str | None:
        return self.job_id

    def raw(self) -> dict[str, Any] | None:
        if self._seen is None:
            return None
        told = self._told if isinstance(self._told, dict) else {}
        return self._seen.job._asdict() | {"platform": told}
