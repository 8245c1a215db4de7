"""Tenants, plans and clients."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.admin.base import BODY, AdminPart, done, operation
from simulator.api.contract.inputs import read_body
from simulator.api.contract.operation import Operation
from simulator.api.deps import answer
from simulator.gateway.directory import tenant_from
from simulator.identity.clients import store_client
from simulator.identity.roles import DEVELOPER, ROLES
from simulator.policy.tiers import is_downgrade
from simulator.store.port import Row, Tx
from zjops.domain.clock import month_bounds_ms, rfc3339, utc_month
from zjops.domain.errors import FieldError, Problem, UsageError
from zjops.domain.events import OpsKind
from zjops.domain.ids import base58
from zjops.domain.plans import price_book
from zjops.domain.wire import TenantChange, TenantCreate, TenantCreated, TenantView
from zjops.domain.wire_admin import (
    ClientCreate,
    ClientCreated,
    ClientList,
    ClientView,
    PlanList,
    PlanView,
    TenantDetail,
    TenantList,
)


class TenantRoutes(AdminPart):
    """Handlers of tenants and what belongs to them."""

    def operations(self) -> list[Operation]:
        """The operations of this part."""
        one, clients = "/tenants/{tenantId}", "/tenants/{tenantId}/clients"
        return [
            operation("listTenants", "GET", "/tenants", self.tenants, TenantList),
            operation("createTenant", "POST", "/tenants", self.create, TenantCreated, *BODY, "conflict", status=201,
                      body=TenantCreate),
            operation("getTenant", "GET", one, self.tenant, TenantDetail, "not-found"),
            operation("changeTenant", "PATCH", one, self.change, TenantView, *BODY, "not-found", body=TenantChange),
            operation("listPlans", "GET", "/plans", self.plans, PlanList),
            operation("listClients", "GET", clients, self.clients, ClientList, "not-found"),
            operation("createClient", "POST", clients, self.create_client, ClientCreated, *BODY, "not-found",
                      status=201, body=ClientCreate),
            operation("deleteClient", "DELETE", clients + "/{clientId}", self.delete_client, None, "not-found",
                      status=204, media=None),
            operation("rotateClientSecret", "POST", clients + "/{clientId}/rotate", self.rotate, ClientCreated,
                      "not-found"),
        ]  # fmt: skip

    def _month(self) -> str:
        return utc_month(self._deps.clock.now_ms())

    async def tenants(self, request: Request) -> Response:
        """All tenants with this month's units."""
        month = self._month()
        rows = await self._store.read(lambda tx: tx.all("tenants_usage", month=month))
        await self._looked(request, "tenant.list")
        return answer(TenantList(tenants=[_view(row, month) for row in rows]))

    async def _row(self, tenant: str) -> Row:
        month = self._month()
        row = await self._store.read(lambda tx: tx.one("tenant_detail", tenant=tenant, month=month))
        if row is None:
            raise Problem("not-found", f"There is no tenant {tenant}.")
        return row

    async def tenant(self, request: Request) -> Response:
        """One tenant: units held, charged and released, bucket, breaker, place on the ladder.

        Bucket and breaker are those of the process that answers; `apiProcesses` says how many there are.
        """
        name = request.path_params["tenantId"]
        row, levels = await self._row(name), self._deps.tenants.levels(name)
        await self._looked(request, "tenant.read", name)
        tokens: Any = levels["bucketTokens"]
        return answer(TenantDetail(
            **msgspec.structs.asdict(_view(row, self._month())), account=row["account"], ladder=row["step"] or "none",
            bucket_tokens=tokens, api_processes=self._deps.processes, breaker=str(levels["breaker"]),
            released=row["released"],
        ))  # fmt: skip

    async def create(self, request: Request) -> Response:
        """A new tenant; the answer shows its client's secret this once."""
        asked = await read_body(request, TenantCreate)
        _check_plan(asked.plan, asked.overrides)
        secret, client_id = base58(self._deps.ids.token(32)), f"{asked.tenant_id}-{base58(self._deps.ids.token(6))}"
        await self._store.transact(lambda tx: self._create(tx, request, asked, client_id, secret))
        self._deps.wake()
        view = _view(await self._row(asked.tenant_id), self._month())
        return answer(TenantCreated(**msgspec.structs.asdict(view), client_secret=secret), 201)

    def _create(self, tx: Tx, request: Request, asked: TenantCreate, client_id: str, secret: str) -> None:
        if tx.one("tenant_get", tenant=asked.tenant_id):
            raise Problem("conflict", f"There is a tenant {asked.tenant_id} already.")
        now = self._deps.clock.now_ms()
        overrides = msgspec.json.encode(asked.overrides, order="sorted").decode()
        tx.run("tenant_put", tenant=asked.tenant_id, name=asked.name, plan=asked.plan, overrides=overrides, now=now)
        store_client(
            tx, self._deps.ids, client_id=client_id, secret=secret, tenant=asked.tenant_id, scopes=DEVELOPER, now=now
        )
        self._record(
            tx, request, OpsKind.TENANT, "tenant.create", asked.tenant_id, plan=asked.plan, overrides=asked.overrides
        )

    async def change(self, request: Request) -> Response:
        """Another plan, other negotiated values, or suspended.

        A higher plan holds at once and for the whole month, a lower one from the next month on (S10).
        """
        asked, name = await read_body(request, TenantChange), request.path_params["tenantId"]
        row = await self._row(name)
        overrides = msgspec.json.decode(row["overrides"]) if asked.overrides is None else asked.overrides
        _check_plan(row["plan"] if asked.plan is None else asked.plan, overrides)
        await self._store.transact(lambda tx: self._change(tx, request, name, asked))
        self._deps.directory.forget(name)
        self._deps.wake()
        return answer(_view(await self._row(name), self._month()))

    def _change(self, tx: Tx, request: Request, tenant: str, asked: TenantChange) -> None:
        overrides = None if asked.overrides is None else msgspec.json.encode(asked.overrides, order="sorted").decode()
        later = self._later(tx, tenant, asked)
        plan = None if later else asked.plan
        tx.run("tenant_change", tenant=tenant, plan=plan, status=asked.status, overrides=overrides)
        kind = OpsKind.TENANT if asked.plan is None else OpsKind.PLAN
        self._record(
            tx, request, kind, "tenant.change", tenant, asked.reason, plan=plan, status=asked.status,
            overrides=asked.overrides, **later,
        )  # fmt: skip

    def _later(self, tx: Tx, tenant: str, asked: TenantChange) -> dict[str, str]:
        """Put a downgrade down for the next month (S10); any other change of plan is at once and takes that back."""
        row = tx.one("tenant_get", tenant=tenant)
        assert row is not None
        if asked.plan is None:
            return {}
        tx.run("plan_change_drop", tenant=tenant)
        if not is_downgrade(price_book(), row["plan"], asked.plan):
            return {}
        at = month_bounds_ms(self._month())[1]
        tx.run("plan_change_put", tenant=tenant, plan=asked.plan, at=at, reason=asked.reason)
        return {"nextPlan": asked.plan, "nextPlanFrom": rfc3339(at)}

    async def plans(self, request: Request) -> Response:
        """The price book as data."""
        book = price_book()
        await self._looked(request, "plan.list")
        plans = [PlanView(name=name, values=msgspec.to_builtins(plan)) for name, plan in book.plans.items()]
        return answer(PlanList(version=book.version, plans=plans))

    async def clients(self, request: Request) -> Response:
        """The clients of a tenant."""
        name = request.path_params["tenantId"]
        await self._row(name)
        rows = await self._store.read(lambda tx: tx.all("clients_of_tenant", tenant=name))
        await self._looked(request, "client.list", name)
        return answer(ClientList(clients=[_client(row) for row in rows]))

    async def create_client(self, request: Request) -> Response:
        """A client with a role (S14), and with public keys if it is to use private_key_jwt."""
        asked, name = await read_body(request, ClientCreate), request.path_params["tenantId"]
        await self._row(name)
        client_id, keys = f"{name}-{base58(self._deps.ids.token(6))}", _keys(asked)

        def put(tx: Tx, secret: str) -> None:
            self._store_client(tx, request, name, client_id, secret, ROLES[asked.role], "client.create")
            if keys:
                tx.run("client_keys_put", client_id=client_id, jwks=keys)

        secret = base58(self._deps.ids.token(32))
        await self._store.transact(lambda tx: put(tx, secret))
        return answer(await self._created(name, client_id, secret), 201)

    def _store_client(
        self, tx: Tx, request: Request, tenant: str, client_id: str, secret: str, scopes: tuple[str, ...], action: str
    ) -> None:
        now = self._deps.clock.now_ms()
        store_client(tx, self._deps.ids, client_id=client_id, secret=secret, tenant=tenant, scopes=scopes, now=now)
        self._record(tx, request, OpsKind.TENANT, action, tenant, client=client_id)

    async def _created(self, tenant: str, client_id: str, secret: str) -> ClientCreated:
        rows = await self._store.read(lambda tx: tx.all("clients_of_tenant", tenant=tenant))
        view = next(_client(row) for row in rows if row["client_id"] == client_id)
        return ClientCreated(**msgspec.structs.asdict(view), client_secret=secret)

    async def delete_client(self, request: Request) -> Response:
        """Take a client away; its tokens end within their 15 minutes."""
        tenant, client = request.path_params["tenantId"], request.path_params["clientId"]

        def drop(tx: Tx) -> None:
            if not tx.run("client_delete", client_id=client, tenant=tenant):
                raise Problem("not-found", "There is no such client.")
            tx.run("client_keys_delete", client_id=client)
            self._record(tx, request, OpsKind.TENANT, "client.delete", tenant, client=client)

        await self._store.transact(drop)
        return done()

    async def rotate(self, request: Request) -> Response:
        """A new secret for a client; the former one is worth nothing from now on (C21)."""
        tenant, client = request.path_params["tenantId"], request.path_params["clientId"]
        secret = base58(self._deps.ids.token(32))

        def turn(tx: Tx) -> None:
            row = tx.one("client_get", client_id=client)
            if row is None or row["tenant"] != tenant:
                raise Problem("not-found", "There is no such client.")
            scopes = tuple(row["scopes"].split())
            self._store_client(tx, request, tenant, client, secret, scopes, "client.rotate")

        await self._store.transact(turn)
        return answer(await self._created(tenant, client, secret))


def _keys(asked: ClientCreate) -> str | None:
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    if asked.jwks is None:
        return None
    try:
        keys = KeySet.import_key_set(asked.jwks)  # type: ignore[arg-type]
        if not keys.keys or any(key.is_private for key in keys.keys):
            raise ValueError("give public keys only")
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Problem("validation-failed", f"jwks: {exc}", errors=[FieldError("#/jwks", str(exc))]) from exc
    return msgspec.json.encode(asked.jwks).decode()


def _check_plan(plan: str, overrides: dict[str, Any]) -> None:
    try:
        price_book().plan(plan, overrides)
    except UsageError as exc:
        raise Problem("validation-failed", str(exc), errors=[FieldError("#/plan", str(exc))]) from exc


def _client(row: Row) -> ClientView:
    return ClientView(
        client_id=row["client_id"], scopes=row["scopes"].split(), created_at=rfc3339(row["created_at"]),
        has_keys=bool(row["has_keys"]),
    )  # fmt: skip


def _view(row: Row, month: str) -> TenantView:
    return TenantView(
        tenant_id=row["tenant"], name=row["name"], plan=row["plan"], status=row["status"],
        overrides=msgspec.json.decode(row["overrides"]), client_id=row["client_id"] or "",
        created_at=rfc3339(row["created_at"]), month=month,
        compute_units_limit=tenant_from(row).plan.compute_units, compute_units_held=row["held"],
        compute_units_charged=row["charged"], active_jobs=row["active_jobs"], next_plan=row["next_plan"],
        next_plan_from=None if row["next_plan_from"] is None else rfc3339(row["next_plan_from"]),
    )  # fmt: skip
