"""tenants and token: who may use a platform, and what is given back to whom."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Reason, Tenant, Yes, agree, read_object
from zjops.cli.output import Format, Out
from zjops.client.admin import Admin
from zjops.config import resolve
from zjops.domain.clock import SystemClock, utc_month
from zjops.domain.errors import UsageError
from zjops.domain.ids import SystemIds
from zjops.domain.wire import TenantChange, TenantCreate, TenantView
from zjops.domain.wire_billing import CREDIT_MOST_MICROUSD, CreditGrant, CreditView

tenants = typer.Typer()
MICROUSD = 1_000_000
"""Micro-dollars in a dollar."""
Overrides = Annotated[str | None, typer.Option("--overrides", help="Negotiated values as JSON, or @FILE.")]
Plan = Annotated[str | None, typer.Option("--plan", help="free, starter, pro or enterprise.")]
Name = Annotated[str, typer.Argument(help="The tenant.")]


def _row(view: TenantView) -> dict[str, Any]:
    return {
        "tenant": view.tenant_id, "plan": view.plan, "status": view.status, "client id": view.client_id,
        "units": view.compute_units_charged, "held": view.compute_units_held, "limit": view.compute_units_limit,
        "active jobs": view.active_jobs, "month": view.month,
    }  # fmt: skip


@tenants.command("list", help="Every tenant with this month's units.\n\nExample: zjops tenants list -o csv")
def list_(
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False
) -> None:  # fmt: skip
    """Tenants, plans and units."""
    rows = [_row(view) for view in Admin(resolve(context, home)).tenants()]
    Out(output, json).rows("zjops.tenants/1", rows)


@tenants.command(help="A new tenant; its secret is shown this once.\n\nExample: zjops tenants add acme --plan pro")
def add(
    name: Name, plan: Plan = "free", display_name: Annotated[str | None, typer.Option("--name")] = None,
    overrides: Overrides = None, home: Home = None, context: ContextName = None,
    output: Output = Format.TABLE, json: Json = False,
) -> None:  # fmt: skip
    """Make a tenant and its client."""
    asked = TenantCreate(
        tenant_id=name, plan=plan or "free", name=display_name,
        overrides=read_object(overrides, "--overrides") if overrides else {},
    )  # fmt: skip
    made = Admin(resolve(context, home)).add(asked)
    record = _row(made) | {"client secret": made.client_secret}
    Out(output, json).record("zjops.tenant/1", record)


@tenants.command(
    "set",
    help="Another plan (a lower one from the next month on) or negotiated value.\n\n"
    "Example: zjops tenants set acme --plan enterprise",
)
def set_(
    name: Name, plan: Plan = None, overrides: Overrides = None, reason: Reason = None, home: Home = None,
    context: ContextName = None, quiet: Quiet = False,
) -> None:  # fmt: skip
    """Change what a tenant may do."""
    chosen = read_object(overrides, "--overrides") if overrides else None
    _change(TenantChange(plan=plan, overrides=chosen, reason=reason), name, home, context, quiet)


@tenants.command(help="No more requests of this tenant.\n\nExample: zjops tenants suspend acme --reason 'unpaid'")
def suspend(
    name: Name, reason: Reason = None, home: Home = None, context: ContextName = None, quiet: Quiet = False
) -> None:
    """Suspend a tenant."""
    _change(TenantChange(status="suspended", reason=reason), name, home, context, quiet)


@tenants.command(help="A suspended tenant may go on.\n\nExample: zjops tenants resume acme")
def resume(
    name: Name, reason: Reason = None, home: Home = None, context: ContextName = None, quiet: Quiet = False
) -> None:
    """Resume a tenant."""
    _change(TenantChange(status="active", reason=reason), name, home, context, quiet)


@tenants.command(
    help="Give a tenant money back, after a preview.\n\n"
    "Example: zjops tenants credit acme --usd 5.00 --reason 'outage of the 3rd' --month 2026-11"
)
def credit(
    name: Name,
    usd: Annotated[str, typer.Option("--usd", help="How many US dollars, to the millionth.")],
    reason: Annotated[str, typer.Option("--reason", help="Stands on the invoice and in the audit log.")],
    month: Annotated[str | None, typer.Option(help="Of whose invoice, YYYY-MM in UTC; this month by default.")] = None,
    job: Annotated[str | None, typer.Option("--job", help="The job that it is for.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="The credit's id, a UUID; a repeat is the same.")] = None,
    yes: Yes = False, home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
) -> None:  # fmt: skip
    """Grant a credit."""
    admin, clock = Admin(resolve(context, home)), SystemClock()
    asked = CreditGrant(
        amount_microusd=_microusd(usd), month=month or utc_month(clock.now_ms()), reason=reason, job_id=job
    )
    for line in _credit_preview(admin.tenant(name), asked, admin.credits(name, asked.month)):
        print(line, file=sys.stderr)
    agree(yes)
    made = admin.grant_credit(name, asked, key or str(uuid.UUID(bytes=SystemIds(clock).token(16), version=4)))
    Out(output, json).record("zjops.credit/1", _credit_row(made))


def _credit_preview(tenant: TenantView, asked: CreditGrant, former: list[CreditView]) -> Iterator[str]:
    """What the act touches, and what was granted before."""
    for_job = f", for {asked.job_id}" if asked.job_id else ""
    yield f"credit {tenant.tenant_id} ({tenant.plan}) with {_dollars(asked.amount_microusd)}{for_job}: {asked.reason}"
    yield f"  it is a line of the invoice of {asked.month}, or of the next one if that was issued already"
    if former:
        total = sum(one.amount_microusd for one in former)
        yield f"  granted for {asked.month} before: {len(former)}, together {_dollars(total)}"
    yield "  it is told on OPS, stands in the audit log and cannot be taken back"


@tenants.command(help="The credits of a tenant.\n\nExample: zjops tenants credits acme --month 2026-11")
def credits(
    name: Name, month: Annotated[str | None, typer.Option(help="Of this month alone, YYYY-MM.")] = None,
    home: Home = None, context: ContextName = None, output: Output = Format.TABLE, json: Json = False,
) -> None:  # fmt: skip
    """What was given back, in order."""
    found = Admin(resolve(context, home)).credits(name, month)
    Out(output, json).rows("zjops.credits/1", [_credit_row(one) for one in found])


def _credit_row(made: CreditView) -> dict[str, Any]:
    return {
        "credit id": made.credit_id, "tenant": made.tenant_id, "month": made.month,
        "amount": _dollars(made.amount_microusd), "microusd": made.amount_microusd, "reason": made.reason,
        "job": made.job_id, "granted by": made.granted_by, "granted at": made.granted_at,
    }  # fmt: skip


def _microusd(text: str) -> int:
    """US dollars as micro-dollars, to the last digit. Raises `UsageError`."""
    try:
        amount = Decimal(text.removeprefix("$").replace(",", "")) * MICROUSD
    except InvalidOperation:
        raise UsageError(f"--usd is an amount such as 5.00, not {text}") from None
    if not amount.is_finite() or amount != amount.to_integral_value() or not 1 <= amount <= CREDIT_MOST_MICROUSD:
        raise UsageError(f"--usd lies between 0.000001 and {_dollars(CREDIT_MOST_MICROUSD)}, not {text}")
    return int(amount)


def _dollars(microusd: int) -> str:
    """Micro-dollars as `$5.00`, with as many digits as there are."""
    whole, rest = divmod(microusd, MICROUSD)
    return f"${whole:,}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def _change(asked: TenantChange, name: str, home: Any, context: str | None, quiet: bool) -> None:
    view = Admin(resolve(context, home)).change(name, asked)
    later = f", {view.next_plan} from {view.next_plan_from}" if view.next_plan else ""
    Out(quiet=quiet).say(
        f"{view.tenant_id}: {view.plan}{later}, {view.status}, {msgspec.json.encode(view.overrides).decode()}"
    )


def token(
    home: Home = None, context: ContextName = None, tenant: Tenant = None,
    operator: Annotated[bool, typer.Option("--operator", help="The operator's, not a tenant's.")] = False,
    scope: Annotated[str | None, typer.Option(help="Ask for these scopes only.")] = None,
) -> None:  # fmt: skip
    """Print an access token; it lasts 15 minutes."""
    from zjops.client.oauth import fetch_token

    found = resolve(context, home)
    print(fetch_token(found.token_url, found.operations() if operator else found.client(tenant), scope))


groups = {"tenants": tenants}
commands = {"token": token}
