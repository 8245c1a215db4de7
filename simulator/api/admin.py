"""`/v1/admin`: the operators' door (C85). Every change is in the audit log and told as an OPS event."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from simulator.api.deps import ApiDeps, answer
from simulator.api.views import job_view
from simulator.export import export_to
from simulator.gateway.context import context_of
from simulator.gateway.directory import tenant_from
from simulator.identity.clients import SCOPES, store_client
from simulator.outbox import enqueue_ops
from simulator.relayer import PAUSED
from simulator.store.port import Row, Tx
from zjops.domain.clock import rfc3339, utc_month
from zjops.domain.errors import FieldError, Problem, UsageError
from zjops.domain.events import OpsEvent, OpsKind
from zjops.domain.ids import base58
from zjops.domain.plans import price_book
from zjops.domain.wire import TenantChange, TenantCreate, TenantCreated, TenantView

CHUNK = 1 << 16
PAGE = 1_000
STATES = ("active", "suspended")


class RelayerPause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the relayer should pause, and why."""

    paused: bool
    reason: str | None = None


def _parse(body: bytes, model: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as exc:
        path = str(exc).partition(" - at `$")[2].rstrip("`").replace(".", "/")
        raise Problem("validation-failed", str(exc), errors=[FieldError("#" + path, str(exc))]) from exc
    except msgspec.DecodeError as exc:
        raise Problem("malformed-request", f"The body is not JSON: {exc}") from exc


class AdminRoutes:
    """Handlers of the operators' resource."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._store = deps.store

    def router(self) -> APIRouter:
        """The routes of this resource."""
        router = APIRouter(prefix="/v1/admin", tags=["admin"])
        router.add_api_route("/tenants", self.tenants, methods=["GET"])
        router.add_api_route("/tenants", self.create_tenant, methods=["POST"], status_code=201)
        router.add_api_route("/tenants/{tenant}", self.tenant, methods=["GET"])
        router.add_api_route("/tenants/{tenant}", self.change_tenant, methods=["PATCH"])
        router.add_api_route("/export", self.export, methods=["GET"])
        router.add_api_route("/dead-letters", self.dead_letters, methods=["GET"])
        router.add_api_route("/relayer", self.pause_relayer, methods=["POST"])
        return router

    def _month(self) -> str:
        return utc_month(self._deps.clock.now_ms())

    def _record(self, tx: Tx, request: Request, kind: OpsKind, action: str, target: str, **details: Any) -> None:
        """An entry of the audit log and its OPS event, in the transaction of the act."""
        principal = context_of(request.scope).principal
        assert principal is not None
        reason = details.pop("reason", None)
        tx.run(
            "audit_put", now=self._deps.clock.now_ms(), actor=principal.client_id, action=action, target=target,
            reason=reason, details=msgspec.json.encode(details).decode(),
        )  # fmt: skip
        event = OpsEvent(
            kind=kind.value, actor=principal.client_id, action=action, tenant=target, reason=reason, values=details
        )
        enqueue_ops(tx, self._deps.ids, self._deps.clock, event)

    async def tenants(self) -> Response:
        """All tenants with this month's units."""
        month = self._month()
        rows = await self._store.read(lambda tx: tx.all("tenants_usage", month=month))
        return answer({"tenants": [_tenant_view(row, month) for row in rows]})

    async def tenant(self, tenant: str) -> Response:
        """One tenant."""
        return answer(await self._one(tenant))

    async def _one(self, tenant: str) -> TenantView:
        month = self._month()
        rows = await self._store.read(lambda tx: tx.all("tenants_usage", month=month))
        for row in rows:
            if row["tenant"] == tenant:
                return _tenant_view(row, month)
        raise Problem("not-found", f"There is no tenant {tenant}.")

    async def create_tenant(self, request: Request) -> Response:
        """A new tenant; the answer shows its client's secret this once."""
        asked: TenantCreate = _parse(await request.body(), TenantCreate)
        _check_plan(asked.plan, asked.overrides)
        secret, client_id = base58(self._deps.ids.token(32)), f"{asked.tenant_id}-{base58(self._deps.ids.token(6))}"
        await self._store.transact(lambda tx: self._create(tx, request, asked, client_id, secret))
        self._deps.wake()
        view = msgspec.structs.asdict(await self._one(asked.tenant_id))
        return answer(TenantCreated(**view, client_secret=secret), 201)

    def _create(self, tx: Tx, request: Request, asked: TenantCreate, client_id: str, secret: str) -> None:
        if tx.one("tenant_get", tenant=asked.tenant_id):
            raise Problem("conflict", f"There is a tenant {asked.tenant_id} already.")
        now = self._deps.clock.now_ms()
        overrides = msgspec.json.encode(asked.overrides, order="sorted").decode()
        tx.run("tenant_put", tenant=asked.tenant_id, name=asked.name, plan=asked.plan, overrides=overrides, now=now)
        store_client(
            tx, self._deps.ids, client_id=client_id, secret=secret, tenant=asked.tenant_id, scopes=SCOPES, now=now
        )
        self._record(
            tx, request, OpsKind.TENANT, "tenant.create", asked.tenant_id, plan=asked.plan, overrides=asked.overrides
        )

    async def change_tenant(self, request: Request, tenant: str) -> Response:
        """Another plan, other negotiated values, or suspended."""
        asked: TenantChange = _parse(await request.body(), TenantChange)
        if asked.status is not None and asked.status not in STATES:
            raise Problem("validation-failed", "status must be active or suspended.")
        current = await self._one(tenant)
        overrides = current.overrides if asked.overrides is None else asked.overrides
        _check_plan(asked.plan or current.plan, overrides)
        await self._store.transact(lambda tx: self._change(tx, request, tenant, asked))
        self._deps.directory.forget(tenant)
        self._deps.wake()
        return answer(await self._one(tenant))

    def _change(self, tx: Tx, request: Request, tenant: str, asked: TenantChange) -> None:
        overrides = None if asked.overrides is None else msgspec.json.encode(asked.overrides, order="sorted").decode()
        tx.run("tenant_change", tenant=tenant, plan=asked.plan, status=asked.status, overrides=overrides)
        kind = OpsKind.PLAN if asked.plan else OpsKind.TENANT
        self._record(
            tx, request, kind, "tenant.change", tenant, plan=asked.plan, status=asked.status,
            overrides=asked.overrides, reason=asked.reason,
        )  # fmt: skip

    async def export(self) -> Response:
        """The consistent export: one snapshot as JSON lines."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the stream that sends it
        await export_to(self._store, self._deps.clock, file)
        file.seek(0)
        return StreamingResponse(_chunks(file), media_type="application/x-ndjson")

    async def dead_letters(self) -> Response:
        """Jobs whose attempts are used up, at most a thousand."""
        rows = await self._store.read(lambda tx: tx.all("dead_letters", after=b"", most=PAGE))
        return answer({"jobs": [{"tenant": row["tenant"], "job": job_view(row)} for row in rows], "limit": PAGE})

    async def pause_relayer(self, request: Request) -> Response:
        """Hold confirmations back, or let them go on."""
        asked: RelayerPause = _parse(await request.body(), RelayerPause)

        def change(tx: Tx) -> None:
            tx.run("setting_put", name=PAUSED, value=str(int(asked.paused)))
            action = "relayer.pause" if asked.paused else "relayer.resume"
            self._record(tx, request, OpsKind.RELAYER, action, "platform", reason=asked.reason)

        await self._store.transact(change)
        self._deps.wake()
        return answer({"paused": asked.paused})


def _check_plan(plan: str, overrides: dict[str, Any]) -> None:
    try:
        price_book().plan(plan, overrides)
    except UsageError as exc:
        raise Problem("validation-failed", str(exc), errors=[FieldError("#/plan", str(exc))]) from exc


def _tenant_view(row: Row, month: str) -> TenantView:
    return TenantView(
        tenant_id=row["tenant"], name=row["name"], plan=row["plan"], status=row["status"],
        overrides=msgspec.json.decode(row["overrides"]), client_id=row["client_id"] or "",
        created_at=rfc3339(row["created_at"]), month=month,
        compute_units_limit=tenant_from(row).plan.compute_units, compute_units_held=row["held"],
        compute_units_charged=row["charged"], active_jobs=row["active_jobs"],
    )  # fmt: skip


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
