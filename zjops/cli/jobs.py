"""jobs: submit, read, watch, cancel, retry, prove and verify."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from zjops.actions.acts import Act
from zjops.cli.acts import Operating
from zjops.cli.exits import CHECK_FAILED
from zjops.cli.options import (
    ContextName,
    HistoryFile,
    Home,
    Json,
    Output,
    Quiet,
    Reason,
    Tenant,
    Yes,
    read_object,
)
from zjops.cli.output import Format, Out
from zjops.cli.proofs import proof, verify
from zjops.client.admin import Admin
from zjops.client.history import History
from zjops.client.jobs import Jobs
from zjops.client.standing import standstill, way_on
from zjops.client.stream import Update, update_of
from zjops.client.websocket import Refused
from zjops.config import Context, resolve
from zjops.domain.clock import rfc3339
from zjops.domain.errors import UsageError, ZjopsError
from zjops.domain.jobs import ANCHORED, JobState, JobType

jobs = typer.Typer()
EXAMPLES = {
    JobType.COMPUTE_HEAVY: (
        '{"algorithm":"prime_sieve","limit":1000000}', '{"algorithm":"matrix_multiply","size":50,"seed":1}',
    ),
    JobType.DATA_PROCESSING: (
        '{"algorithm":"aggregate","generate":{"rows":1000},"group_by":"group",'
        '"metrics":[{"column":"value","function":"avg"}]}',
    ),
    JobType.ML_INFERENCE: (
        '{"algorithm":"classify","features":[[5.1,3.5,1.4,0.2]]}',
        '{"algorithm":"synthetic","duration_ms":500}',
        '{"algorithm":"synthetic","failure":{"kind":"retry","probability":0.5}}',
    ),
}  # fmt: skip
"""Parameters of every type, for the help; `synthetic` is an algorithm of all types, and may fail."""
JobId = Annotated[str, typer.Argument(help="The job, job_…")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB_ID...", help="The jobs, job_…")]
TENANT_MOST = 100
"""Jobs of a tenant on a page, as the API has it."""
COLUMNS = ("jobId", "status", "jobType", "submittedAt", "computeUnits", "attempt")


def _client(context: Context, tenant: str | None, history: Path | None) -> Jobs:
    return Jobs(context, context.client(tenant), History(history) if history else None)


def _open(home: Path | None, context: str | None, tenant: str | None, history: Path | None = None) -> Jobs:
    return _client(resolve(context, home), tenant, history)


def _record(view: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(view)
    found.pop("links", None)
    return found


def _examples() -> str:
    """Parameters by type, each on a line of its own: what the help folded could not be copied."""
    lines = [f"{kind.value} {text}" for kind, texts in EXAMPLES.items() for text in texts]
    return "\b\n" + "\n".join(lines)


@jobs.command(help="Submit a job.\n\nExample: zjops jobs submit --type compute_heavy --parameters "
                   "'{\"algorithm\":\"prime_sieve\",\"limit\":1000000}' --wait\n\n"
                   "Parameters by type (synthetic is of every type; its failure is retry, failed or client_fault); "
                   "all fields: zjops export openapi\n\n"
                   + _examples())  # fmt: skip
def submit(
    type_: Annotated[JobType, typer.Option("--type", help="What kind of work.")],
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
    body: dict[str, Any] = {"jobType": type_.value, "parameters": read_object(parameters, "--parameters")}
    given = {"priority": priority, "timeoutSeconds": timeout, "callbackUrl": callback_url,
             "metadata": read_object(metadata, "--metadata") if metadata else None}  # fmt: skip
    out, found = Out(output, json, quiet), resolve(context, home)
    client = _client(found, tenant, history)
    accepted = client.submit(body | {k: v for k, v in given.items() if v is not None}, key)
    out.say(f"{'accepted before' if accepted.replayed else 'accepted'} under key {accepted.key}")
    if wait:
        _follow(client, [accepted.job.job_id], out, final=False, within_s=3600)
    elif out.format is Format.TABLE:
        out.text(accepted.job.job_id)
    else:
        out.record("zjops.accepted/1", _record(accepted.job) | {"key": accepted.key, "replayed": accepted.replayed})


@jobs.command(help="One job with all its attempts.\n\nExample: zjops jobs get job_3x…")
def get(
    job_id: JobId, tenant: Tenant = None, home: Home = None, context: ContextName = None, history: HistoryFile = None,
    output: Output = Format.TABLE, json: Json = False,
) -> None:  # fmt: skip
    """Everything that the API says of a job."""
    _show_job(Out(output, json), _record(_open(home, context, tenant, history).get(job_id)))


@jobs.command("list", help="A page of jobs of a tenant, or, with --all, of every tenant, oldest first.\n\n"
                           "Example: zjops jobs list --status failed --limit 50\n\n"
                           "Example: zjops jobs list --all --status pending")  # fmt: skip
def list_(
    status: Annotated[JobState | None, typer.Option(help="Only in this state.")] = None,
    type_: Annotated[JobType | None, typer.Option("--type", help="Only of this type.")] = None,
    from_date: Annotated[str | None, typer.Option(help="Created after, RFC 3339.")] = None,
    to_date: Annotated[str | None, typer.Option(help="Created before, RFC 3339.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many; of one tenant 100 at most.")] = 20,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    sort_by: Annotated[Literal["created_at", "updated_at", "status"] | None, typer.Option()] = None,
    sort_order: Annotated[Literal["asc", "desc"] | None, typer.Option()] = None,
    every: Annotated[bool, typer.Option("--all", help="Of all tenants; needs operator credentials.")] = False,
    tenant: Tenant = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Jobs of a tenant, newest first; of all tenants oldest first, as whoever looks for what waits wants them."""
    if every:
        if any((from_date, to_date, offset, sort_by, sort_order, tenant)):
            raise UsageError("--all goes with --status, --type and --limit only")
        _list_all(Admin(resolve(context, home)), status, type_, limit, Out(output, json, quiet))
        return
    if limit > TENANT_MOST:
        raise UsageError(f"--limit is at most {TENANT_MOST} for one tenant, --offset goes on; --all has no limit")
    page = _open(home, context, tenant).list(
        status=status, jobType=type_, fromDate=from_date, toDate=to_date, limit=limit, offset=offset, sortBy=sort_by,
        sortOrder=sort_order,
    )  # fmt: skip
    out, rows = Out(output, json, quiet), [_record(job) for job in page.jobs]
    flat = out.format in (Format.CSV, Format.MD)
    brief = [_brief(row) for row in rows]
    out.rows("zjops.jobs/1", rows, COLUMNS if flat else None, people=brief)
    shown = page.pagination
    out.say(
        f"{offset + 1 if rows else 0} to {offset + len(rows)} of {shown.total}"
        + (", --offset for more" if shown.has_more else "")
    )


def _list_all(admin: Admin, status: JobState | None, type_: JobType | None, limit: int, out: Out) -> None:
    shown, more = 0, False

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal shown, more
        for page in admin.jobs(limit, status=status, job_type=type_):
            shown, more = shown + len(page.jobs), page.next is not None
            for one in page.jobs:
                yield {"tenant": one.tenant, "plan": one.plan, "charge": one.charge.value} | _record(one.job)

    out.stream(
        "zjops.all-jobs/1", rows(), ("tenant", *COLUMNS), lambda row: {"tenant": row["tenant"]} | _brief(row)
    )  # fmt: skip
    if shown:
        out.say(f"the oldest {shown:,}" + (", there are more: --limit, or zjops top" if more else ""))


def _brief(row: dict[str, Any]) -> dict[str, Any]:
    """A job on a line of a narrow terminal."""
    return {
        "jobId": row["jobId"], "status": row["status"], "type": row["jobType"],
        "submitted (UTC)": row["submittedAt"][5:19].replace("T", " "), "units": row["computeUnits"],
    }  # fmt: skip


@jobs.command(help="Ask for the end of a job of a tenant, or, with a reason, as an operator of any jobs.\n\n"
                   "Example: zjops jobs cancel job_3x…\n\n"
                   "Example: zjops jobs cancel job_3x… job_4y… --reason 'runs wild' --yes")  # fmt: skip
def cancel(
    job_ids: JobIds, reason: Reason = None, yes: Yes = False, tenant: Tenant = None, home: Home = None,
    context: ContextName = None, output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Cancel a job, or several."""
    out, found = Out(output, json, quiet), resolve(context, home)
    if reason is not None:
        Operating(Act.CANCEL, found, reason, out, yes=yes).on_jobs(job_ids)
        return
    if len(job_ids) > 1:
        raise UsageError("to cancel several jobs is an operator's act: say why with --reason")
    reply = _client(found, tenant, None).cancel(job_ids[0])
    out.done("zjops.cancelled/1", f"{reply.job_id}: {reply.status}", jobId=reply.job_id, status=reply.status)


@jobs.command(help="Submit the work of dead letters again, as new jobs; an operator's act.\n\n"
                   "Example: zjops jobs retry --all --reason 'the model is back' --yes")  # fmt: skip
def retry(
    job_ids: Annotated[list[str] | None, typer.Argument(metavar="JOB_ID...", help="Dead letters, job_…")] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters that wait.")] = False,
    reason: Reason = None, yes: Yes = False, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Retry dead letters."""
    if every == bool(job_ids):
        raise UsageError("name dead letters, or --all of them")
    operating = Operating(Act.RETRY, resolve(context, home), reason, Out(output, json, quiet), yes=yes)
    if job_ids:
        operating.on_jobs(job_ids)
    else:
        operating.on_dead_letters()


@jobs.command(help="Follow jobs until they have ended.\n\nExample: zjops jobs watch job_3x… --final")
def watch(
    job_ids: JobIds,
    final: Annotated[bool, typer.Option("--final", help="Until they are final on chain.")] = False,
    within: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 3600,
    tenant: Tenant = None, home: Home = None, context: ContextName = None, history: HistoryFile = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Say every change as it comes, a line each with -o jsonl; exit 1 when a job failed or was cancelled."""
    out, found = Out(output, json, quiet), resolve(context, home)
    idle = Doorman(found, out).look if final else _nothing
    client, wanted = _client(found, tenant, history), list(dict.fromkeys(job_ids))
    _follow(client, wanted, out, final=final, within_s=within, idle=idle)


def _nothing() -> None:
    """Nobody waits for the chain."""


class Doorman:
    """Says why nothing is confirmed, and that it goes on again, to whoever waits and has operators' credentials."""

    def __init__(self, context: Context, out: Out) -> None:
        self._admin = Admin(context) if context.operator is not None else None
        self._out = out
        self._said: str | None = None

    def look(self) -> None:
        """Ask how the relayer stands; what cannot be known is left unsaid."""
        try:
            view = None if self._admin is None else self._admin.relayer()
        except ZjopsError:
            return
        why = None if view is None else standstill(view)
        if why == self._said:
            return
        self._said = why
        told = "confirmations go on" if view is None or why is None else f"{why}; see {way_on(view)}"
        self._out.say(f"note: {told}")


def _follow(
    client: Jobs, job_ids: list[str], out: Out, *, final: bool, within_s: float, idle: Callable[[], None] = _nothing
) -> None:  # fmt: skip
    for update in _updates(client, job_ids, out, final=final, within_s=within_s, idle=idle):
        if out.format is Format.JSONL:
            out.line("zjops.update/1", _record(update))
        name = f"{update.job_id}  " if len(job_ids) > 1 else ""
        anchored = update.blockchain_confirmation
        block = f", block {anchored.block_number}" if anchored else ""
        out.say(f"{rfc3339(int(update.timestamp * 1000))}  {name}{update.status.value}{block}")
        if update.status in ANCHORED and not anchored:
            idle()
    views = [client.get(job_id) for job_id in job_ids]
    _show(out, [_record(view) for view in views])
    if any(view.status in (JobState.FAILED, JobState.CANCELLED) for view in views):
        raise typer.Exit(CHECK_FAILED)


def _updates(
    client: Jobs, job_ids: list[str], out: Out, *, final: bool, within_s: float, idle: Callable[[], None]
) -> Iterator[Update]:  # fmt: skip
    """By stream, or by asking again and again where there are none."""
    try:
        yield from client.follow(job_ids, final=final, within_s=within_s, idle=idle)
    except Refused as exc:
        out.say(f"note: there are no streams here, asking from time to time instead ({exc})")
        for job_id in job_ids:
            yield from map(update_of, client.watch(job_id, final=final, within_s=within_s))


def _show(out: Out, rows: list[dict[str, Any]]) -> None:
    if out.format is Format.JSONL:
        return
    if len(rows) == 1:
        _show_job(out, rows[0])
    else:
        out.rows("zjops.jobs/1", rows, COLUMNS)


def _show_job(out: Out, row: dict[str, Any]) -> None:
    """One job; for people its attempts stand in a table of their own."""
    attempts = row.get("attempts")
    if out.format is not Format.TABLE or not attempts:
        out.record("zjops.job/1", row)
        return
    out.record("zjops.job/1", {name: value for name, value in row.items() if name != "attempts"})
    out.text("")
    out.rows("zjops.attempts/1", [_tried(one) for one in attempts])


def _tried(one: dict[str, Any]) -> dict[str, Any]:
    """An attempt on a line."""
    error = one.get("error")
    after = f"again from {one['nextAt']}" if "nextAt" in one else ""
    why = f"{error['code']}: {error['message'].removesuffix('.')}" if error else ""
    return {
        "attempt": one["attempt"], "outcome": one["outcome"], "started": one.get("startedAt"),
        "ended": one.get("endedAt"), "why": "; ".join(part for part in (why, after) if part),
    }  # fmt: skip


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
