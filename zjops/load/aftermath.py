"""What became of the jobs of a run: when they were final, how long each step took, and whether any was lost."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from zjops.analytics.warehouse import Warehouse
from zjops.audit.findings import Report
from zjops.audit.records import WHOLE, part_after
from zjops.audit.run import audit
from zjops.client.admin import Admin
from zjops.client.chain import ChainReader
from zjops.client.history import read_history
from zjops.client.http import Http
from zjops.client.rpc import node_of
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import ChainUnavailable, Problem, UnreachableError
from zjops.domain.ids import job_key
from zjops.load.histogram import Histogram
from zjops.load.records import Webhook

LOOK_EVERY_S = 2.0
LOG_BEHIND_S = 15.0
"""The log may be this far behind what it tells of."""
Told = Callable[[str], None]


class Settled(NamedTuple):
    """How far the jobs have got; times are Unix ms. `final_later` became final after the first did."""

    jobs: int = 0
    final: int = 0
    last_accepted: int | None = None
    first_final: int | None = None
    last_final: int | None = None
    final_later: int = 0

    def whole(self, accepted: int) -> bool:
        """Whether every job that was accepted is here and final."""
        return accepted <= self.jobs == self.final

    def final_within_s(self, accepted: int) -> float | None:
        """Seconds from the last acceptance to the last finality; None while jobs are on their way."""
        if not self.whole(accepted) or self.last_final is None or self.last_accepted is None:
            return None
        return max(0.0, (self.last_final - self.last_accepted) / 1000)

    def jobs_per_s(self, accepted: int) -> float | None:
        """How many jobs a second became final, from the first to the last that did; None while some are not."""
        if not self.whole(accepted) or self.first_final is None or self.last_final is None:
            return None
        span_ms = self.last_final - self.first_final
        return self.final_later / span_ms * 1000 if span_ms else None


def look(log: Path, tenants: Sequence[str]) -> Settled:
    """What the log says now."""
    with Warehouse(log, whole=False) as warehouse:
        return Settled(**warehouse.rows("load_settled", tenants=list(tenants))[0])


def settle(log: Path, tenants: Sequence[str], accepted: int, within_s: float, clock: SystemClock, say: Told) -> Settled:
    """Wait until every job is final, or the time is up; not at all where there is none."""
    deadline = clock.monotonic() + (within_s + LOG_BEHIND_S if within_s else 0)
    while True:
        found = look(log, tenants)
        if found.whole(accepted) or clock.monotonic() >= deadline:
            return found
        say(f"{found.final:,} of {max(accepted, found.jobs):,} jobs are final")
        clock.pause(LOOK_EVERY_S)


def hops(
    context: Context, log: Path, tenants: Sequence[str], since_ms: int, webhooks: Sequence[Webhook]
) -> dict[str, Histogram]:  # fmt: skip
    """How long each step took after the acceptance, of all jobs that were accepted from a moment on, in microseconds.

    Where the chain does not answer, nobody knows when blocks were mined, and that step is left out.
    """
    made: dict[str, Histogram] = defaultdict(Histogram)
    with Warehouse(log, whole=False) as warehouse:
        held = warehouse.rows("load_blocks", tenants=list(tenants), since_ms=since_ms)
        blocks = _mined(context, [row["block_number"] for row in held])
        rows = warehouse.rows(
            "load_hops", tenants=list(tenants), since_ms=since_ms, blocks=list(blocks), block_ms=list(blocks.values()),
            hook_jobs=[job_key(one.job_id).hex() for one in webhooks], hook_ms=[one.at_ms for one in webhooks],
        )  # fmt: skip
    for row in rows:
        made[row["hop"]].add(row["ms"] * 1000, row["jobs"])
    return dict(made)


def _mined(context: Context, numbers: list[int]) -> dict[int, int]:
    """When blocks were made, Unix ms."""
    if context.rpc_url is None:
        return {}
    try:
        with node_of(context) as rpc:
            heads = zip(numbers, rpc.blocks(numbers), strict=True)
            return {number: int(head["timestamp"], 16) * 1000 for number, head in heads}
    except (ChainUnavailable, KeyError, TypeError, ValueError):
        return {}


def prove(context: Context, history: Path, wait_s: float, clock: SystemClock) -> Report:
    """The audit over the whole history. Raises `UnreachableError`, `UsageError`."""
    log = Path(context.log_dir) if context.log_dir else None
    admin = Admin(context)
    chain = ChainReader(context) if context.contract else None
    try:
        with tempfile.TemporaryDirectory(prefix="zjops-load-") as folder, closing(admin.http):
            target = Path(folder) / "export.jsonl"

            def take() -> Path:
                admin.export(target)
                return target

            return audit(
                list(read_history(history)), take, log, chain, expect_settled=False, wait_s=wait_s, clock=clock,
                part=part_after(log) if log else WHOLE,
            )  # fmt: skip
    finally:
        if chain is not None:
            chain.http.close()


def audited(report: Report) -> dict[str, Any]:
    """The audit for a summary: its counts, the first findings, and the counter-example."""
    whole = report.as_json()
    names = ("ok", "client_accepted", "unknown", "accepted", "settled", "completed", "failed", "cancelled", "confirmed",
             "charged", "lost", "doubled", "double_billed", "double_confirmed")  # fmt: skip
    return {name: whole[name] for name in names} | {
        "findings": whole["findings"][:20], "counterexample": whole["counterexample"],
    }  # fmt: skip


def require_ready(context: Context) -> None:
    """Raises `UnreachableError` where the platform does not take requests."""
    with Http(context.api_url, timeout_s=5, tries=1) as http:
        try:
            http.get("/readyz")
        except Problem as problem:
            raise UnreachableError(f"the platform is not ready ({problem.detail}); see zjops status") from problem
