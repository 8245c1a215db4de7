"""The tenants of a run, made through the operators' door (C85, C86)."""

from __future__ import annotations

from contextlib import closing

from zjops.client.admin import Admin
from zjops.config import Context
from zjops.domain.runfile import ClientEntry
from zjops.domain.wire import TenantCreate
from zjops.load.records import TenantMade
from zjops.load.scenario import Tenants

PLAN = "enterprise"


def make(context: Context, asked: Tenants, name: str, more: int = 0) -> tuple[list[ClientEntry], list[TenantMade]]:
    """Make the tenants, each called after a run, and so many more; tell their credentials.

    Raises `Problem`, `UnreachableError`.
    """
    values = asked.negotiated()
    clients, made = [], []
    admin = Admin(context)
    with closing(admin.http):
        for number in range(1, asked.count + more + 1):
            tenant = f"{name}-{number}"
            created = admin.add(TenantCreate(tenant_id=tenant, plan=PLAN, name="load test", overrides=dict(values)))
            clients.append(
                ClientEntry(
                    tenant=tenant, plan=PLAN, client_id=created.client_id, client_secret=created.client_secret,
                    scopes=[],
                )
            )  # fmt: skip
            made.append(TenantMade(tenant=tenant, plan=PLAN, values=dict(values)))
    return clients, made
