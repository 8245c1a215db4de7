"""tenants and token: who may use a platform."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from zjops.cli.options import ContextName, Home, Json, Output, Quiet, Reason, Tenant, read_object
from zjops.cli.output import Format, Out
from zjops.client.admin import Admin
from zjops.config import resolve
from zjops.domain.wire import TenantChange, TenantCreate, TenantView

tenants = typer.Typer()
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
