"""jobs: submit, read, watch, cancel, prove and verify."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from zjops.cli.exits import CHECK_FAILED
from zjops.cli.options import (
    ContextName,
    HistoryFile,
    Home,
    Json,
    Output,
    Quiet,
    Tenant,
    read_object,
)
from zjops.cli.output import Format, Out
from zjops.cli.proofs import proof, verify
from zjops.client.history import History
from zjops.client.jobs import Jobs
from zjops.client.stream import Update, update_of
from zjops.client.websocket import Refused
from zjops.config import resolve
from zjops.domain.clock import rfc3339
from zjops.domain.jobs import JobState

jobs = typer.Typer()
JobId = Annotated[str, typer.Argument(help="The job, job_…")]
COLUMNS = ("jobId", "status", "jobType", "submittedAt", "computeUnits", "attempt")


def _open(home: Path | None, context: str | None, tenant: str | None, history: Path | None = None) -> Jobs:
    found = resolve(context, home)
    return Jobs(found, found.client(tenant), History(history) if history else None)


def _record(view: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(view)
    found.pop("links", None)
    return found


@jobs.command(help="Submit a job.\n\nExample: zjops jobs submit --type compute_heavy --parameters "
                   "'{\"algorithm\":\"prime_sieve\",\"limit\":1000000}' --wait")  # fmt: skip
def submit(
    type_: Annotated[str, typer.Option("--type", help="compute_heavy, data_processing or ml_inference.")],
    parameters: Annotated[str, typer.Option(help="JSON, @FILE, or - for the standard input.")],
    priority: Annotated[int | None, typer.Option(help="0 to 10.")] = None,
    timeout: Annotated[int | None, typer.Option(help="Seconds, 60 to 86400.")] = None,
    callback_url: Annotated[str | None, typer.Option()] = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key; a fresh one by default.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    tenant: Tenant = None, home: Home = None, context: ContextName = None, history: HistoryFile = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Submit one job and print its id."""
    body: dict[str, Any] = {"jobType": type_, "parameters": read_object(parameters, "--parameters")}
    given = {"priority": priority, "timeoutSeconds": timeout, "callbackUrl": callback_url,
             "metadata": read_object(metadata, "--metadata") if metadata else None}  # fmt: skip
    out, client = Out(output, json, quiet), _open(home, context, tenant, history)
    accepted = client.submit(body | {k: v for k, v in given.items() if v is not None}, key)
    out.say(f"{'accepted before' if accepted.replayed else 'accepted'} under key {accepted.key}")
    if wait:
        _follow(client, [accepted.job.job_id], out, final=False, within_s=3600)
    elif out.format is Format.TABLE:
        out.text(accepted.job.job_id)
    else:
        out.record("zjops.accepted/1", _record(accepted.job) | {"key": accepted.key, "replayed": accepted.replayed})


@jobs.command(help="One job.\n\nExample: zjops jobs get job_3x…")
def get(
    job_id: JobId, tenant: Tenant = None, home: Home = None, context: ContextName = None, history: HistoryFile = None,
    output: Output = Format.TABLE, json: Json = False,
) -> None:  # fmt: skip
    """Everything that the API says of a job."""
    Out(output, json).record("zjops.job/1", _record(_open(home, context, tenant, history).get(job_id)))


@jobs.command("list", help="A page of jobs.\n\nExample: zjops jobs list --status failed --limit 50")
def list_(
    status: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    type_: Annotated[str | None, typer.Option("--type")] = None,
    from_date: Annotated[str | None, typer.Option(help="Created after, RFC 3339.")] = None,
    to_date: Annotated[str | None, typer.Option(help="Created before, RFC 3339.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20, offset: Annotated[int, typer.Option(min=0)] = 0,
    sort_by: Annotated[str | None, typer.Option()] = None, sort_order: Annotated[str | None, typer.Option()] = None,
    tenant: Tenant = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Jobs of a tenant, newest first."""
    page = _open(home, context, tenant).list(
        status=status, jobType=type_, fromDate=from_date, toDate=to_date, limit=limit, offset=offset, sortBy=sort_by,
        sortOrder=sort_order,
    )  # fmt: skip
    out, rows = Out(output, json, quiet), [_record(job) for job in page.jobs]
    table = out.format in (Format.TABLE, Format.CSV, Format.MD)
    out.rows("zjops.jobs/1", [{c: row.get(c) for c in COLUMNS} for row in rows] if table else rows)
    shown = page.pagination
    out.say(
        f"{offset + 1 if rows else 0} to {offset + len(rows)} of {shown.total}"
        + (", --offset for more" if shown.has_more else "")
    )


@jobs.command(help="Ask for a job's end.\n\nExample: zjops jobs cancel job_3x…")
def cancel(
    job_id: JobId, tenant: Tenant = None, home: Home = None, context: ContextName = None, quiet: Quiet = False
) -> None:
    """Cancel a job."""
    reply = _open(home, context, tenant).cancel(job_id)
    Out(quiet=quiet).say(f"{reply.job_id}: {reply.status}")


@jobs.command(help="Follow jobs until they have ended.\n\nExample: zjops jobs watch job_3x… --final")
def watch(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB_ID...", help="The jobs, job_…")],
    final: Annotated[bool, typer.Option("--final", help="Until they are final on chain.")] = False,
    within: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 3600,
    tenant: Tenant = None, home: Home = None, context: ContextName = None, history: HistoryFile = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Say every change as it comes, a line each with -o jsonl; exit 1 when a job failed or was cancelled."""
    out = Out(output, json, quiet)
    _follow(_open(home, context, tenant, history), list(dict.fromkeys(job_ids)), out, final=final, within_s=within)


def _follow(client: Jobs, job_ids: list[str], out: Out, *, final: bool, within_s: float) -> None:
    for update in _updates(client, job_ids, out, final=final, within_s=within_s):
        if out.format is Format.JSONL:
            out.line("zjops.update/1", _record(update))
        name = f"{update.job_id}  " if len(job_ids) > 1 else ""
        anchored = update.blockchain_confirmation
        block = f", block {anchored.block_number}" if anchored else ""
        out.say(f"{rfc3339(int(update.timestamp * 1000))}  {name}{update.status.value}{block}")
    views = [client.get(job_id) for job_id in job_ids]
    _show(out, [_record(view) for view in views])
    if any(view.status in (JobState.FAILED, JobState.CANCELLED) for view in views):
        raise typer.Exit(CHECK_FAILED)


def _updates(client: Jobs, job_ids: list[str], out: Out, *, final: bool, within_s: float) -> Iterator[Update]:
    """By stream, or by asking again and again where there are none."""
    try:
        yield from client.streams.follow(job_ids, final=final, within_s=within_s)
    except Refused as exc:
        out.say(f"note: there are no streams here, asking from time to time instead ({exc})")
        for job_id in job_ids:
            yield from map(update_of, client.watch(job_id, final=final, within_s=within_s))


def _show(out: Out, rows: list[dict[str, Any]]) -> None:
    if out.format is Format.JSONL:
        return
    if len(rows) == 1:
        out.record("zjops.job/1", rows[0])
    else:
        out.rows("zjops.jobs/1", rows, COLUMNS)


@jobs.command(help="The exact bytes of a result.\n\nExample: zjops jobs result job_3x… > result.json")
def result(job_id: JobId, tenant: Tenant = None, home: Home = None, context: ContextName = None) -> None:
    """Write a result to the standard output."""
    sys.stdout.buffer.write(_open(home, context, tenant).result(job_id))


jobs.command(help="A bundle by which anyone can check a job.\n\n"
             "Example: zjops jobs proof job_3x… > bundle.json")(proof)  # fmt: skip
jobs.command(help="Check a job, trusting nobody: against the chain, or a bundle against a root.\n\n"
             "Example: zjops jobs verify job_3x…\n\n"
             "Example: zjops jobs verify bundle.json --root 0x5a…\n\n"
             "Example: zjops jobs verify bundle.json --rpc http://127.0.0.1:8545 --contract 0x79…")(verify)  # fmt: skip
groups = {"jobs": jobs}
