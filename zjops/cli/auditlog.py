"""audit-log: who did what to the platform, when and why."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet
from zjops.cli.output import Format, Out
from zjops.cli.times import moment_ms
from zjops.client.admin import Admin
from zjops.config import resolve
from zjops.domain.clock import SystemClock, rfc3339
from zjops.domain.wire_admin import AuditEntry

COLUMNS = ("number", "at", "actor", "action", "target", "reason", "details")


def audit_log(
    actor: Annotated[str | None, typer.Option("--actor", help="Only what this one did.")] = None,
    action: Annotated[str | None, typer.Option("--action", help="Only this, such as relayer.pause.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From this moment on: RFC 3339, 14:05 of today in UTC, or -10m.")
    ] = None,
    reads: Annotated[bool, typer.Option("--reads", help="Also what only read, and renewed tokens.")] = False,
    limit: Annotated[int, typer.Option("--limit", help="The newest so many.", min=1, max=100_000)] = 50,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Oldest first. Needs operator credentials; that it was read stands in the log too."""
    since_ms = None if since is None else moment_ms(since, SystemClock().now_ms(), "--since")
    # `zjops top` alone reads thousands of times, every command once or twice: the platform leaves that out.
    entries = list(Admin(resolve(context, home)).audit_log(
        limit, actor=actor, action=action, since=None if since_ms is None else rfc3339(since_ms),
        reads=reads or action is not None,
    ))[::-1]  # fmt: skip
    out, rows = Out(output, json, quiet), [msgspec.to_builtins(entry) for entry in entries]
    out.rows("zjops.audit-log/1", rows, COLUMNS, people=[_brief(entry) for entry in entries])
    if len(entries) == limit:
        out.say(f"the newest {limit:,}; --limit for more")


def _brief(entry: AuditEntry) -> dict[str, Any]:
    """An entry on a line of a narrow terminal; of an act on a job, which job."""
    job = entry.details.get("job")
    on = [part for part in (entry.target, job if isinstance(job, str) and job != entry.target else None) if part]
    return {
        "at (UTC)": entry.at[:19].replace("T", " "), "actor": entry.actor, "action": entry.action,
        "target": " ".join(on), "reason": entry.reason or "",
    }  # fmt: skip


commands = {"audit-log": audit_log}
