"""The whole audit, again and again until nothing is on its way any more, or the time is up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from zjops.audit.altered import check_events
from zjops.audit.batches import Chain, check_chain
from zjops.audit.checks import check_jobs, count
from zjops.audit.findings import Report
from zjops.audit.places import check_repairs, repaired
from zjops.audit.records import NO_LOG, WHOLE, Part, read_export, read_log
from zjops.audit.told import check_history
from zjops.audit.tying import check_months
from zjops.client.history import Record
from zjops.domain.clock import SystemClock

AGAIN_S = 0.5


def audit_once(
    history: Iterable[Record], take_export: Callable[[], Path], log_dir: Path | None, chain: Chain | None, *,
    expect_settled: bool, part: Part = WHOLE,
) -> Report:  # fmt: skip
    """One audit. Log and chain are read before the export is taken, so that neither can know more than it.

    `part` is what the export tells of; the identities of the months are those of the log up to its end.
    """
    log = read_log(log_dir, part) if log_dir is not None else NO_LOG
    next_before = chain.next_sequence() if chain is not None else 0
    export = read_export(take_export())
    counts: Counter[str] = Counter()
    count(export, counts)
    findings = check_history(history, export, counts)
    findings += check_jobs(export, log, expect_settled)
    findings += check_events(log_dir, export, part) if log_dir is not None else []
    findings += check_repairs(export, log)
    if chain is not None:
        findings += check_chain(export, log, chain, next_before, expect_settled)
    tied, broken = check_months(log_dir, part.through) if log_dir is not None else ([], [])
    findings += broken
    behind = max(0, export.head.outbox_last - log.watermark)
    return Report(counts, sorted(set(findings)), behind, repaired=tuple(repaired(export)), tied=tuple(tied))


def audit(
    history: list[Record], take_export: Callable[[], Path], log_dir: Path | None, chain: Chain | None, *,
    expect_settled: bool, wait_s: float, clock: SystemClock, part: Part = WHOLE,
) -> Report:  # fmt: skip
    """Audit until what is found cannot be cured by waiting, or `wait_s` seconds have gone."""
    deadline = clock.monotonic() + wait_s
    while True:
        report = audit_once(history, take_export, log_dir, chain, expect_settled=expect_settled, part=part)
        if not report.only_late or clock.monotonic() >= deadline:
            return report
        clock.pause(AGAIN_S)
