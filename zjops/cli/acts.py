"""Operators' acts on the command line: shown first, agreed to, done one by one, and how it went."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import typer

from zjops.actions.acts import Act, Target, checked_reason, counted
from zjops.actions.preview import Preview, look
from zjops.actions.preview import told as previewed
from zjops.actions.running import STOPPED, Report, Run
from zjops.actions.running import told as reported
from zjops.actions.targets import MOST, Aimed
from zjops.cli.exits import CHECK_FAILED, INTERRUPTED, UNREACHABLE
from zjops.cli.options import agree
from zjops.cli.output import Out
from zjops.cli.progress import Progress
from zjops.client.admin import Admin
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.errors import UsageError


class Operating:
    """One act by an operator of a context, with its reason. Raises `UsageError` for none."""

    def __init__(self, act: Act, context: Context, reason: str | None, out: Out, *, yes: bool) -> None:
        self._act, self._context, self._out, self._yes = act, context, out, yes
        self._reason = checked_reason(reason or "")
        self._admin = Admin(context)

    def on_jobs(self, job_ids: Sequence[str], *, delivered: bool = False) -> None:
        """Do it to these jobs. Raises `UsageError` for one that there is not."""
        targets = [self._target(job_id) for job_id in dict.fromkeys(job_ids)]
        self._on(Aimed(targets, len(targets)), delivered=delivered)

    def on_dead_letters(self) -> None:
        """Do it to all dead letters that wait."""
        every = [Target.of_view(one) for one in self._admin.dead_letters()]
        self._on(Aimed(every[:MOST], len(every)), delivered=False)

    def on_deliveries(self, names: Sequence[str]) -> None:
        """Do it to deliveries by their ids."""
        self._go(Preview(self._act, tuple(dict.fromkeys(names)), 0, 0))

    def _target(self, job_id: str) -> Target:
        found = self._admin.job(job_id)
        if found is None:
            raise UsageError(f"there is no job {job_id} in context {self._context.name}; nothing was done")
        return Target.of_view(found)

    def _on(self, aimed: Aimed, *, delivered: bool) -> None:
        self._go(look(self._act, aimed, self._admin, delivered=delivered))

    def _go(self, preview: Preview) -> None:
        first, *more = previewed(preview)
        self._out.preview([f"{first}, in context {self._context.name}:", *more], agreed=self._yes)
        if not preview.nothing:
            agree(self._yes)
        report = self._done(preview)
        self._out.done("zjops.act/1", "\n".join(reported(report)), **_record(report, self._reason))
        code = _code(report, preview)
        if code:
            raise typer.Exit(code)

    def _done(self, preview: Preview) -> Report:
        clock = SystemClock()
        run = Run(self._act, preview.items, self._reason, lambda: nullcontext(self._admin), clock)
        progress, began = Progress(self._act, quiet=self._out.quiet), clock.monotonic()

        def heard(report: Report) -> None:
            reached = (report.total - report.not_reached) / report.total
            progress.reached(reached, f"{counted(self._act, report.done)} done", clock.monotonic() - began)

        try:
            return run.go(heard)
        except KeyboardInterrupt:
            # What is done is done, and is told.
            return run.report._replace(why=STOPPED)
        finally:
            progress.end()


def _record(report: Report, reason: str) -> dict[str, Any]:
    return {
        "act": report.act.value, "reason": reason, "total": report.total, "done": report.done,
        "refused": {code: found.number for code, found in report.refused.items()}, "unknown": report.unknown,
        "notReached": report.not_reached, "endedEarly": report.why,
    }  # fmt: skip


def _code(report: Report, preview: Preview) -> int:
    """What the whole says to a script: 1 when something was left out or refused."""
    if report.why is not None:
        return INTERRUPTED if report.why == STOPPED else UNREACHABLE
    return CHECK_FAILED if preview.nothing or preview.skipped or not report.whole else 0
