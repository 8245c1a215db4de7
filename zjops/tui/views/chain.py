"""Chain: the node, the relayer and its purse, and the batches on their way to finality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from textual.app import ComposeResult
from textual.widgets import Static

from zjops.client.standing import lag, owner_state, runway_days, runway_text, standstill
from zjops.domain.text import numbered
from zjops.recording.reader import Recording
from zjops.recording.rows import BatchRow
from zjops.tui.figures import clock, coin, count, jobs, short, span
from zjops.tui.ink import BAD, BATCH_STATES, BOLD, DIM, GOOD, LINK, PLAIN, WARN, Line, content, title
from zjops.tui.moment import Instant
from zjops.tui.pipeline import Facts, batch_text, facts_of
from zjops.tui.views.base import View
from zjops.tui.widgets import Column, Row, Table

COLUMNS = (
    Column("batch", 6, right=True), Column("jobs", 6, right=True), Column("state", 11), Column("block", 8, right=True),
    Column("gas", 7, right=True), Column("gas/job", 8, right=True), Column("closed", 9, right=True),
    Column("final in", 8, right=True), Column("transaction", 20, flex=True, least=100),
    Column("repairs", 7, right=True, least=120),
)  # fmt: skip
MOST = 500
LATE_S = 5.0


class Seen(NamedTuple):
    """The chain at an instant."""

    facts: Facts
    batches: Sequence[BatchRow]
    confirmed: int


class Chain(View):
    """Blocks, batches and relayer."""

    NAME, TITLE = "chain", "chain"
    HINTS = (
        ("Enter", "jobs of a batch"),
        ("^Z", "not final, or repaired"),
        ("c", "copy transaction"),
        ("{ }", "window"),
    )

    def compose(self) -> ComposeResult:
        yield Static(id="chain-facts")
        yield Table(COLUMNS, follows=True, id="chain-batches", empty="no batch yet")

    def read(self, recording: Recording, instant: Instant) -> Seen:
        facts = facts_of(recording, instant)
        return Seen(facts, recording.batches(instant.at_ms, MOST), sum(row.confirmed for row in facts.series))

    def show(self, found: Seen, instant: Instant) -> None:
        self._seen = found
        batches = found.batches
        if self.faults_only:
            batches = [one for one in batches if one.repairs or one.state_at(instant.at_ms) != "final"]
        self.query_one("#chain-facts", Static).update(content(draw(found, self.size.width)))
        rows = [_row(batch, found.facts) for batch in batches]
        self.query_one(Table).put(rows, empty="every batch is final" if self.faults_only else "no batch yet")

    def on_table_opened(self, event: Table.Opened) -> None:
        """The jobs of the batch."""
        event.stop()
        self.app.open_view("jobs", f"batch:{event.key}")  # type: ignore[attr-defined]

    def _chosen(self) -> BatchRow | None:
        row = self.query_one(Table).chosen
        found = [] if row is None else [one for one in self._seen.batches if str(one.batch_id) == row.key]
        return found[0] if found else None

    def copied(self) -> str | None:
        batch = self._chosen()
        return batch.tx_hash if batch else None

    def raw(self) -> dict[str, object] | None:
        batch = self._chosen()
        return None if batch is None else batch._asdict() | {"relayer": msgspec.to_builtins(self._seen.facts.relayer)}


def draw(seen: Seen, width: int) -> list[Line]:
    """Node and relayer in a few lines."""
    facts = seen.facts
    head, view, at = facts.head, facts.relayer, facts.instant.at_ms
    lines: list[Line] = [title("Chain and relayer", f"at {clock(at)}")]
    if head is None:
        lines.append([("  ? the node was not read yet", DIM)])
    else:
        _, late_s = lag(head.made_s, at / 1000, view.block_time_seconds if view else 1.0)
        style = BAD if late_s > LATE_S else GOOD
        lines.append([
            ("  block ", DIM), (f"{head.height:,}", BOLD), ("   lag ", DIM), (span(late_s * 1000), style),
            ("   base fee ", DIM), (f"{head.base_fee_wei:,} wei", PLAIN), ("   confirmed in window ", DIM),
            (count(seen.confirmed), BOLD),
        ])  # fmt: skip
    if view is None:
        return [*lines, [("  ? the relayer was not read yet", DIM)], []]
    why = standstill(view)
    lines.append([
        ("  relayer ", DIM), (owner_state(view), BAD if why else GOOD), ("   waiting ", DIM),
        (jobs(view.waiting_jobs), BOLD), ("   on their way ", DIM), (jobs(view.open_jobs), PLAIN),
        (f" in {numbered(view.open_batches, 'batch', 'batches')}", PLAIN),
    ])  # fmt: skip
    held: Line = [("not told now", DIM)]
    if view.balance_wei is not None:
        days = runway_days(int(view.balance_wei), int(view.spent_wei), view.spent_seconds)
        held = [(coin(int(view.balance_wei)), BOLD), (f"   {runway_text(days)}", DIM)]
    lines.append([
        ("  balance ", DIM), *held, ("   finality ", DIM), (view.finality, PLAIN),
        (f"   {view.address}" if view.address and width >= 110 else "", DIM),
    ])  # fmt: skip
    return [*lines, *([[(f"  ▲ {why}", WARN)]] if why else []), []]


def _row(batch: BatchRow, facts: Facts) -> Row:
    at = facts.instant.at_ms
    state = batch.state_at(at)
    glyph, style = BATCH_STATES[state]
    final = batch.final_at - batch.closed_at if batch.final_at is not None and batch.final_at <= at else None
    per_job = None if batch.gas_used is None else batch.gas_used // max(1, batch.jobs)
    return Row(str(batch.batch_id), (
        (count(batch.batch_id), LINK), (count(batch.jobs), PLAIN), (f"{glyph} {batch_text(batch, facts)}", style),
        (count(batch.block_number), PLAIN), (short(batch.gas_used), PLAIN), (short(per_job), BOLD),
        (clock(batch.closed_at), DIM), (span(final), PLAIN), (batch.tx_hash or "–", DIM),
        (str(batch.repairs or "–"), WARN if batch.repairs else DIM),
    ))  # fmt: skip
