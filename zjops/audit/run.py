"""The whole audit, again and again until nothing is on its way any more, or the time is up."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from zjops.audit.altered import check_events
from zjops.audit.batches import Chain, check_chain
from zjops.audit.checks import check_jobs, count
from zjops.audit.findings import Report
from zjops.audit.places import check_repairs, repaired
from zjops.audit.records import NO_LOG, WHOLE, Log, Part, read_export, read_log
from zjops.audit.story import shortest
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
    return _Look(list(history), take_export, log_dir, chain, expect_settled, part).whole()


class _Look:
    """One export, compared with what was read before it, and again with what the log has got of it since then."""

    def __init__(
        self, history: list[Record], take_export: Callable[[], Path], log_dir: Path | None, chain: Chain | None,
        expect_settled: bool, part: Part,
    ) -> None:  # fmt: skip
        self._history, self._log_dir, self._chain, self._expect_settled = history, log_dir, chain, expect_settled
        log = read_log(log_dir, part) if log_dir is not None else NO_LOG
        self._next_before = chain.next_sequence() if chain is not None else 0
        self._export = read_export(take_export())
        self._part = part._replace(until=self._export.head.outbox_last)
        self.report = self._compare(log)

    def whole(self) -> Report:
        """The report, and where something is wrong the shortest story of a job that shows it."""
        if self.report.ok:
            return self.report
        with contextlib.ExitStack() as opened:
            log = None if self._log_dir is None else opened.enter_context(self._part.open(self._log_dir))
            return self.report._replace(story=shortest(self.report.findings, self._history, self._export, log))

    def again(self) -> Report:
        """The same once more, with all that the log has by now of what the export tells of, and nothing newer.

        That no job is lost was seen by the first look: what the log held before the export must be in it.
        """
        assert self._log_dir is not None
        self.report = self._compare(read_log(self._log_dir, self._part))
        return self.report

    def _compare(self, log: Log) -> Report:
        export, log_dir, counts = self._export, self._log_dir, Counter[str]()
        count(export, counts)
        findings = check_history(self._history, export, counts)
        findings += check_jobs(export, log, self._expect_settled)
        findings += check_events(log_dir, export, self._part) if log_dir is not None else []
        findings += check_repairs(export, log)
        if self._chain is not None:
            findings += check_chain(export, log, self._chain, self._next_before, self._expect_settled)
        tied, broken = check_months(log_dir, self._part.through) if log_dir is not None else ([], [])
        findings += broken
        behind = max(0, export.head.outbox_last - log.watermark)
        return Report(counts, sorted(set(findings)), behind, repaired=tuple(repaired(export)), tied=tuple(tied))


def audit(
    history: list[Record], take_export: Callable[[], Path], log_dir: Path | None, chain: Chain | None, *,
    expect_settled: bool, wait_s: float, clock: SystemClock, part: Part = WHOLE,
) -> Report:  # fmt: skip
    """Audit until what is found cannot be cured by waiting, or `wait_s` seconds have gone since it was first found.

    Where only events are late, the log is waited for; a fresh export would be ahead of it again while jobs come. With
    many jobs a look takes longer than the wait: so what the log has got meanwhile is looked at once in any case.
    """
    deadline: float | None = None
    while True:
        look = _Look(history, take_export, log_dir, chain, expect_settled, part)
        if deadline is None:
            deadline = clock.monotonic() + wait_s
        first = True
        while look.report.only_missing and wait_s and (first or clock.monotonic() < deadline):
            first = False
            clock.pause(AGAIN_S)
            look.again()
        if not look.report.only_late or clock.monotonic() >= deadline:
            return look.whole()
        clock.pause(AGAIN_S)
