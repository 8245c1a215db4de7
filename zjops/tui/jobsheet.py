"""One job as lines: its way to finality, attempts, result, proof, deliveries, and what it cost. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from zjops.domain.clock import parse_rfc3339
from zjops.domain.errors import UsageError
from zjops.domain.plans import price_book
from zjops.domain.text import numbered, one_line, shortened
from zjops.domain.wire import JobAttempt
from zjops.feed.messages import Verdict
from zjops.recording.rows import BatchRow, JobRow
from zjops.tui.attempts import attempt_lines
from zjops.tui.figures import cell, clock, coin, count, dollars, jobs, span
from zjops.tui.ink import BAD, BOLD, DIM, GOOD, LINK, PLAIN, SPARK, WARN, Line, Span, state_span, title, width_of
from zjops.tui.pipeline import Facts
from zjops.tui.stuck import because

BAR = 30
RESULT_LINES = 12
WIDE = 110
CHECKING = "checking …"
ONLY_LIVE = "asked of the platform only while it is live"
DELIVERY = {"delivered": ("● delivered", GOOD), "pending": ("◐ pending  ", WARN), "failed": ("✖ failed   ", BAD)}
Told = dict[str, Any] | str | None
"""The job as the platform tells it now; or why it does not; None where it is not asked."""


class Seen(NamedTuple):
    """A job as of an instant; `waits_for` is the batch that must hold it while none is told to."""

    job: JobRow
    batch: BatchRow | None
    facts: Facts
    waits_for: BatchRow | None = None


class Hop(NamedTuple):
    """A moment on the way; None for one that has not come."""

    name: str
    at_ms: int | None
    note: str = ""


def draw(
    seen: Seen, told: Told, verdict: Verdict | str | None, width: int, tried: Sequence[JobAttempt] | None = None
) -> list[Line]:
    """The job as lines; `verdict` is that of its proof, or what is being done about it, `tried` its attempts."""
    job, at_ms = seen.job, seen.facts.instant.at_ms
    lines: list[Line] = [[state_span(job.state), ("  ", PLAIN), (job.job_id, BOLD), (f"  {job.job_type}", DIM)], []]
    why = because(job, seen.facts, seen.waits_for, tried)
    if why is not None:
        mark, style = ("▲ ", WARN) if why.startswith("stuck") else ("◐ ", LINK)
        lines += [*_wrapped(why, mark, style, width), []]
    lines += [title("Way", "time since it was accepted"), *_way(hops(seen), at_ms, width), []]
    lines += [title("Attempts"), *attempt_lines(job, tried, at_ms, width), []]
    lines += [*_outcome(job, told, width), []]
    lines += [title("Proof", "v verifies it against the chain"), *_proof(job, told, verdict, width), []]
    lines += [title("Webhook deliveries"), *_deliveries(told, at_ms, width), []]
    return [*lines, title("Units and money"), *_money(seen)]


def _proof(job: JobRow, told: Told, verdict: Verdict | str | None, width: int) -> list[Line]:
    """Leaf, path and transaction, and what became of checking them."""
    if job.outcome == "cancelled":
        return [[("  none: a cancelled job is not recorded on chain", DIM)]]
    if job.final_at is None:
        return [[("  none yet: its outcome is not final on chain", DIM)]]
    place = f"leaf {count(job.leaf_index)} of batch {count(job.batch_id)}, number {count(job.chain_sequence)}"
    # The verdict first: a screen of 24 lines shows no more of this block.
    lines = [*_verdict(verdict, width), [("  ", PLAIN), (place, BOLD), (f"   block {count(job.block_number)}", PLAIN)]]
    proof = told.get("proof") if isinstance(told, dict) else None
    path = f"root {proof['batch']['root']}, {len(proof['proof'])} siblings" if proof else f"root and path: {ONLY_LIVE}"
    lines.append([(f"  {path if width >= WIDE else shortened(path)}", DIM)])
    return [*lines, [(f"  transaction {job.tx_hash if width >= WIDE else shortened(job.tx_hash or '–')}", DIM)]]


def _verdict(verdict: Verdict | str | None, width: int) -> list[Line]:
    if verdict is None:
        return [[("  ○ not checked here yet: v", DIM)]]
    if isinstance(verdict, str):
        return _wrapped(verdict, "  ▲ " if verdict != CHECKING else "  ◐ ", WARN, width)
    return _wrapped(verdict.words, "  ● " if verdict.ok else "  ✖ ", GOOD if verdict.ok else BAD, width)


def _wrapped(text: str, mark: str, style: str, width: int) -> list[Line]:
    """A sentence over as many lines as it needs."""
    rows = textwrap.wrap(one_line(text), max(20, width - len(mark) - 1)) or [""]
    return [[(mark if index == 0 else " " * len(mark), style), (row, style)] for index, row in enumerate(rows)]


def _deliveries(told: Told, at_ms: int, width: int) -> list[Line]:
    """What became of its webhooks, oldest first."""
    if told is None or isinstance(told, str):
        return [[(f"  {one_line(told or ONLY_LIVE)}", DIM if told is None else WARN)]]
    found = told.get("deliveries", [])
    return [_delivery(one, at_ms, width) for one in found] or [[("  none: nobody asked for any", DIM)]]


def _delivery(one: dict[str, Any], at_ms: int, width: int) -> Line:
    words, style = DELIVERY.get(one["state"], (one["state"], PLAIN))
    attempts = one["attempts"]
    last = attempts[-1] if attempts else None
    answer = ""
    if last is not None:
        answer = f", {one_line(str(last['status'] or last['error']))} in {span(last['milliseconds'])}"
    times = f"{numbered(len(attempts), 'attempt')}{answer}"
    after = one["nextAttemptAt"]
    due = "" if after is None else f", next in {span(max(0, parse_rfc3339(after) - at_ms))}"
    line: Line = [(f"  {words} ", style), (f"{one['type'].removeprefix('job.'):<10}", BOLD), (f"{times}{due}  ", PLAIN)]
    return [*line, (cell(one["url"], max(8, width - width_of(line) - 1)).rstrip(), DIM)]


def hops(seen: Seen) -> list[Hop]:
    """Every moment of the way to finality, in order."""
    job, batch = seen.job, seen.batch
    # When it was started is told once, of the first attempt.
    attempt = (
        f"the first of {job.attempt} attempts" if job.attempt > 1 else f"attempt {job.attempt}" if job.attempt else ""
    )
    made = [Hop("accepted", job.accepted_at, f"{job.payload_bytes:,} bytes"), Hop("started", job.started_at, attempt)]
    ran = "" if job.processing_ms is None else f"ran {span(job.processing_ms)}"
    made.append(Hop(job.outcome or "ended", job.ended_at, f"{ran}{', ' + job.error_code if job.error_code else ''}"))
    if job.outcome == "cancelled":
        return made
    if batch is None:
        made += [Hop("batch closed", None), Hop("sent", None), Hop("mined", None)]
    else:
        made += [
            Hop("batch closed", batch.closed_at, f"batch {batch.batch_id}, {jobs(batch.jobs)}"),
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
        if width >= WIDE:
            line += _bar(before - begun, took, whole)
        step = "" if first else f"{span(took):>7} later"
        mark = "" if first or not hop.note else "· "
        lines.append([*line, (f" {step:<13} {mark}{hop.note}", DIM)])
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


def _outcome(job: JobRow, told: Told, width: int) -> list[Line]:
    """Result or error, as the platform tells it now."""
    lines: list[Line] = [title("Error" if job.error_code else "Result")]
    if job.error_code:
        lines.append([("  ", PLAIN), (job.error_code, BAD)])
    if told is None:
        note = "" if job.error_code else f"  {ONLY_LIVE}"
        return [*lines, [(note, DIM)]] if note else lines
    if isinstance(told, str):
        return [*lines, [(f"  {one_line(told)}", WARN)]]
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
