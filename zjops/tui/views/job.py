"""One job: its way from request to finality with the time of every hop, what it cost, and why it is not further."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec
from textual.app import ComposeResult

from zjops.domain.errors import UsageError, ZjopsError
from zjops.domain.plans import price_book
from zjops.domain.text import shortened
from zjops.recording.reader import Recording
from zjops.recording.rows import BatchRow, JobRow
from zjops.tui.figures import clock, coin, count, dollars, span
from zjops.tui.ink import BAD, BOLD, DIM, GOOD, LINK, PLAIN, SPARK, WARN, Line, Span, state_span, title
from zjops.tui.moment import Instant
from zjops.tui.pipeline import Facts, facts_of
from zjops.tui.station import Station
from zjops.tui.stuck import because
from zjops.tui.views.base import View
from zjops.tui.widgets import Sheet

BAR = 30
RESULT_LINES = 12


class Seen(NamedTuple):
    """A job as of an instant."""

    job: JobRow
    batch: BatchRow | None
    facts: Facts


class Hop(NamedTuple):
    """A moment on the way; None for one that has not come."""

    name: str
    at_ms: int | None
    note: str = ""


class Job(View):
    """The view of one job."""

    NAME, TITLE = "job", "job"
    HINTS = (("Esc", "back"), ("o", "logs of its trace"), ("c", "copy id"), ("y", "JSON"), ("[ ]", "step"))
    BINDINGS = [("o", "logs", "logs")]  # noqa: RUF012 - Textual's own form

    def __init__(self, station: Station) -> None:
        super().__init__(station)
        self.job_id: str | None = None
        self._seen: Seen | None = None
        self._told: tuple[str, dict[str, Any] | str] | None = None

    def compose(self) -> ComposeResult:
        yield Sheet()

    def enter(self, argument: str | None) -> None:
        if argument is not None:
            self.job_id, self._seen, self._told = argument, None, None
            if self.station.details is not None:
                self.run_worker(self._ask(argument), exclusive=True)

    async def _ask(self, job_id: str) -> None:
        """Fetch the result or the error from the platform."""
        assert self.station.details is not None
        try:
            found = await asyncio.to_thread(self.station.details, job_id)
            self._told = (job_id, found or "the platform does not know it any more")
        except ZjopsError as exc:
            self._told = (job_id, str(exc))
        self.app.reload()  # type: ignore[attr-defined]

    def read(self, recording: Recording, instant: Instant) -> Seen | None:
        job = None if self.job_id is None else recording.job(self.job_id, instant.at_ms)
        if job is None:
            return None
        batch = None if job.batch_id is None else recording.batch(job.batch_id, instant.at_ms)
        return Seen(job, batch, facts_of(recording, instant))

    def show(self, found: Seen | None, instant: Instant) -> None:
        self._seen, sheet = found, self.query_one(Sheet)
        if found is None:
            sheet.put(self._nothing(instant))
            return
        told = self._told[1] if self._told is not None and self._told[0] == found.job.job_id else None
        sheet.put(draw(found, told if instant.live else None, sheet.size.width or 80))

    def _nothing(self, instant: Instant) -> list[Line]:
        if self.job_id is None:
            return [[("No job is chosen: open one in the list (2, then Enter), or with  :job ID", DIM)]]
        return [[(f"{self.job_id} is not in this recording at {clock(instant.at_ms)}", WARN)]]

    def action_logs(self) -> None:
        """Its lines in the logs."""
        if self._seen is not None:
            trace = self._seen.job.trace_id or self._seen.job.job_id
            self.app.open_view("logs", trace)  # type: ignore[attr-defined]

    def copied(self) -> str | None:
        return self.job_id

    def raw(self) -> dict[str, Any] | None:
        if self._seen is None:
            return None
        told = self._told[1] if self._told is not None and isinstance(self._told[1], dict) else {}
        return self._seen.job._asdict() | {"platform": told}


def draw(seen: Seen, told: dict[str, Any] | str | None, width: int) -> list[Line]:
    """The job as lines."""
    job, at_ms = seen.job, seen.facts.instant.at_ms
    lines: list[Line] = [[state_span(job.state), ("  ", PLAIN), (job.job_id, BOLD), (f"  {job.job_type}", DIM)], []]
    why = because(job, seen.facts)
    if why is not None:
        lines += [
            [("▲ " if why.startswith("stuck") else "◐ ", WARN), (why, WARN if why.startswith("stuck") else LINK)],
            [],
        ]
    lines += [title("Way", "time since it was accepted"), *_way(hops(seen), at_ms, width), []]
    lines += [title("Units and money"), *_money(seen), []]
    return [*lines, *_outcome(job, told, width)]


def hops(seen: Seen) -> list[Hop]:
    """Every moment of the way to finality, in order."""
    job, batch = seen.job, seen.batch
    attempt = f"attempt {job.attempt}" if job.attempt else ""
    made = [Hop("accepted", job.accepted_at, f"{job.payload_bytes:,} bytes"), Hop("started", job.started_at, attempt)]
    ran = "" if job.processing_ms is None else f"ran {span(job.processing_ms)}"
    made.append(Hop(job.outcome or "ended", job.ended_at, f"{ran}{', ' + job.error_code if job.error_code else ''}"))
    if job.outcome == "cancelled":
        return made
    if batch is None:
        made += [Hop("batch closed", None), Hop("sent", None), Hop("mined", None)]
    else:
        made += [
            Hop("batch closed", batch.closed_at, f"batch {batch.batch_id}, {batch.jobs:,} jobs"),
            Hop("sent", batch.sent_at, shortened(batch.tx_hash or "")),
            Hop("mined", batch.mined_at, f"block {count(batch.block_number)}" if batch.block_number else ""),
        ]
    rule = seen.facts.relayer.finality if seen.facts.relayer else ""
    return [*made, Hop("final", job.final_at, f"{rule}, number {count(job.chain_sequence)}" if job.final_at else "")]


def _way(found: list[Hop], at_ms: int, width: int) -> list[Line]:
    begun = found[0].at_ms or 0
    whole = max(1, max((hop.at_ms or 0) for hop in found) - begun)
    lines, before = [], begun
    for hop in found:
        if hop.at_ms is None:
            seen = f"{'time not seen':<21} {hop.note}" if hop.note else ""
            lines.append([("  ○ ", DIM), (f"{hop.name:<13}{seen}", DIM)])
            continue
        took = hop.at_ms - before
        first = hop.at_ms == begun and hop.name == "accepted"
        shown = clock(hop.at_ms, date=True) if first else f"+{span(hop.at_ms - begun)}"
        line: Line = [
            ("  ● ", BAD if hop.name == "failed" else GOOD),
            (f"{hop.name:<13}", BOLD),
            (f"{shown:<21}", PLAIN),
        ]
        if width >= 110:
            line += _bar(before - begun, took, whole)
        step = "" if first else f"{span(took):>7} after"
        lines.append([*line, (f" {step:<13} {hop.note}", DIM)])
        before = max(before, hop.at_ms)
    return lines


def _bar(offset: int, took: int, whole: int) -> list[Span]:
    """The share of the way that a hop took, at its place."""
    start = min(BAR - 1, max(0, offset * BAR // whole))
    size = min(BAR - start, max(1, round(max(0, took) * BAR / whole)))
    return [("·" * start, DIM), ("━" * size, SPARK), ("·" * (BAR - start - size), DIM)]


def _money(seen: Seen) -> list[Line]:
    job, batch = seen.job, seen.batch
    units: Line = [("  ", PLAIN), (f"{count(job.compute_units)} compute units", BOLD), (f", {job.charge}", PLAIN)]
    try:
        plan = price_book().plan(job.plan)
        if plan.fee_microusd and plan.compute_units:
            share = job.compute_units * plan.fee_microusd // plan.compute_units
            fee = f"{dollars(plan.fee_microusd)} a month for {count(plan.compute_units)}"
            units.append((f"   {dollars(share)} of the fee of plan {job.plan} ({fee})", DIM))
        else:
            units.append((f"   plan {job.plan} has no fee", DIM))
    except UsageError:
        units.append((f"   plan {job.plan}", DIM))
    lines: list[Line] = [[("  tenant ", DIM), (job.tenant, PLAIN)], units]
    if job.gas_share is not None:
        price = None if batch is None or batch.gas_price_wei is None else int(batch.gas_price_wei)
        cost = "" if price is None else f" = {coin(job.gas_share * price)} coins"
        lines.append([("  ", PLAIN), (f"{count(job.gas_share)} gas{cost}", PLAIN), ("   its share of the batch", DIM)])
    return lines


def _outcome(job: JobRow, told: dict[str, Any] | str | None, width: int) -> list[Line]:
    """Result or error, as the platform tells it now."""
    lines: list[Line] = [title("Error" if job.error_code else "Result")]
    if job.error_code:
        lines.append([("  ", PLAIN), (job.error_code, BAD)])
    if told is None:
        note = "" if job.error_code else "  asked of the platform only while it is live"
        return [*lines, [(note, DIM)]] if note else lines
    if isinstance(told, str):
        return [*lines, [(f"  {told}", WARN)]]
    view = told.get("job", {})
    if view.get("error"):
        return [*lines, [(f"  {view['error'].get('message', '')}", PLAIN)]]
    if view.get("resultUrl"):
        return [*lines, [(f"  too large to show; zjops jobs result {job.job_id}", DIM)]]
    if "result" not in view:
        return [*lines, [("  none yet", DIM)]]
    text = msgspec.json.format(msgspec.json.encode(view["result"]), indent=2).decode()
    rows = text.splitlines()
    lines += [[(f"  {row[: width - 3]}", PLAIN)] for row in rows[:RESULT_LINES]]
    return lines if len(rows) <= RESULT_LINES else [*lines, [(f"  … {len(rows) - RESULT_LINES} lines more; y", DIM)]]
