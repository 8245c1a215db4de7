"""webhooks: receive and check them, manage endpoints, look at deliveries."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from zjops.actions.acts import Act
from zjops.cli.acts import Operating
from zjops.cli.exits import CHECK_FAILED
from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Reason, Tenant, Yes
from zjops.cli.output import Format, Out
from zjops.client.jobs import Jobs
from zjops.client.webhooks import Received, Receiver, Webhooks
from zjops.config import resolve
from zjops.domain.errors import UsageError
from zjops.domain.ids import JOB_PREFIX
from zjops.domain.wire_webhooks import EndpointCreate

webhooks = typer.Typer()
COLUMNS = ("endpointId", "url", "status", "failures", "events")
LOG_COLUMNS = ("deliveryId", "type", "state", "jobId", "attempts", "url")


def _open(home: Path | None, context: str | None, tenant: str | None) -> Webhooks:
    found = resolve(context, home)
    return Webhooks(Jobs(found, found.client(tenant)).http)


@webhooks.command(help="Receive webhooks on this machine, check both signatures and print them.\n\n"
                       "Example: zjops webhooks listen --tenant demo-pro --count 2")  # fmt: skip
def listen(
    fail: Annotated[Literal["500", "hang", "tamper"] | None, typer.Option(help="Answer badly, on purpose.")] = None,
    count: Annotated[int | None, typer.Option(help="End after so many deliveries.")] = None,
    within: Annotated[float, typer.Option(help="Seconds to wait for the next one before giving up.")] = 3600.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; any free port by default.")] = 0,
    tenant: Tenant = None, home: Home = None, context: ContextName = None, output: Output = Format.TABLE,
    json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Registers an endpoint for as long as it listens."""
    out, client, came = Out(output, json, quiet), _open(home, context, tenant), queue.Queue[Received]()
    try:
        receiver = Receiver(came.put, port=port, fail=fail)
    except OSError as exc:
        raise UsageError(f"port {port} cannot be listened on ({exc.strerror}); choose another with --port") from exc
    receiver.start()
    made = client.create(EndpointCreate(url=receiver.url, description="zjops webhooks listen"))
    receiver.secret = made.secret
    out.say(f"listening on {receiver.url} as {made.endpoint_id}; stop with Ctrl-C")
    wrong = 0
    try:
        for _ in range(count) if count is not None else iter(int, 1):
            received = came.get(timeout=within)
            wrong += bool(received.faults)
            _show(out, received)
    except queue.Empty:
        raise UsageError(f"nothing came within {within:g} s") from None
    finally:
        client.delete(made.endpoint_id)
        receiver.stop()
    if wrong and fail is None:
        raise typer.Exit(CHECK_FAILED)


def _show(out: Out, received: Received) -> None:
    try:
        body: dict[str, Any] = msgspec.json.decode(received.body)
    except msgspec.DecodeError:
        body = {}
    verdict = "signatures good" if not received.faults else "REFUSED: " + "; ".join(received.faults)
    if out.format is Format.TABLE:
        out.text(f"{body.get('type', '?')}  {body.get('jobId', '?')}  {verdict}  answered {received.answered}")
    else:
        out.record("zjops.webhook/1", {
            "messageId": received.headers.get("webhook-id"), "faults": received.faults,
            "answered": received.answered, "body": body,
        })  # fmt: skip


@webhooks.command(name="list", help="The tenant's endpoints.\n\nExample: zjops webhooks list")
def list_(
    tenant: Tenant = None, home: Home = None, context: ContextName = None, output: Output = Format.TABLE,
    json: Json = False,
) -> None:  # fmt: skip
    """All endpoints."""
    found = [msgspec.to_builtins(view) for view in _open(home, context, tenant).endpoints().endpoints]
    Out(output, json).rows("zjops.endpoint/1", found, COLUMNS)


@webhooks.command(help="The log of deliveries.\n\nExample: zjops webhooks deliveries --state failed")
def deliveries(
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 20,
    tenant: Tenant = None, home: Home = None, context: ContextName = None, output: Output = Format.TABLE,
    json: Json = False,
) -> None:  # fmt: skip
    """Deliveries with their attempts."""
    out = Out(output, json)
    found = [
        msgspec.to_builtins(v) for v in _open(home, context, tenant).deliveries(state=state, limit=limit).deliveries
    ]
    if out.format is Format.TABLE:
        found = [row | {"attempts": len(row["attempts"])} for row in found]
    out.rows("zjops.delivery/1", found, LOG_COLUMNS)


@webhooks.command(help="Deliver once more: a tenant's delivery, or, with a reason, any as an operator.\n\n"
                       "Example: zjops webhooks redeliver msg_…\n\n"
                       "Example: zjops webhooks redeliver job_3x… --reason 'their endpoint is back' --yes")  # fmt: skip
def redeliver(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Deliveries, msg_…; an operator's: jobs too.")],
    delivered: Annotated[bool, typer.Option("--delivered", help="Of jobs: also what has arrived.")] = False,
    reason: Reason = None, yes: Yes = False, tenant: Tenant = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False, quiet: Quiet = False,
) -> None:  # fmt: skip
    """The same message id, a fresh time."""
    if reason is not None:
        operating = Operating(Act.REDELIVER, resolve(context, home), reason, Out(output, json, quiet), yes=yes)
        if all(name.startswith(JOB_PREFIX) for name in names):
            operating.on_jobs(names, delivered=delivered)
        elif delivered or any(name.startswith(JOB_PREFIX) for name in names):
            raise UsageError("name deliveries or jobs, not both; --delivered goes with jobs")
        else:
            operating.on_deliveries(names)
        return
    if len(names) > 1 or names[0].startswith(JOB_PREFIX) or delivered:
        raise UsageError("a tenant sends one delivery again, msg_…; an operator says why with --reason")
    _open(home, context, tenant).redeliver(names[0])


groups = {"webhooks": webhooks}
commands: dict[str, object] = {}
