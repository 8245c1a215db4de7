"""`/v1/webhooks`: endpoints, secrets, and the log of deliveries (S3)."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.contract.inputs import read_body, read_query
from simulator.api.contract.operation import Answer, Operation
from simulator.api.deps import ApiDeps, answer
from simulator.gateway.context import tenant_of
from simulator.notifier.deliveries import CALLBACK, ENDPOINT, ensure_secret, rotate_secret
from simulator.notifier.targets import TargetRefused, check_literal, check_url
from simulator.store.port import Row, Tx
from zjops.domain.clock import rfc3339
from zjops.domain.errors import FieldError, Problem
from zjops.domain.ids import base58, job_id
from zjops.domain.webhooks import WebhookType
from zjops.domain.wire_webhooks import (
    EVERY,
    AttemptView,
    DeliveryPage,
    DeliveryQuery,
    DeliveryView,
    EndpointChange,
    EndpointCreate,
    EndpointCreated,
    EndpointList,
    EndpointView,
    SecretView,
)

BASE = "/v1/webhooks"
OVERLAP_MS = 86_400_000
ENDPOINTS_MOST = 20
SCOPE = "webhooks:manage"


class WebhookRoutes:
    """Handlers of the webhook resource."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps, self._store = deps, deps.store

    def operations(self) -> list[Operation]:
        """The operations of this resource."""
        ends, one = BASE + "/endpoints", BASE + "/endpoints/{endpointId}"
        body = ("unsupported-media-type", "validation-failed", "webhook-target-refused")

        def make(id: str, method: str, path: str, call: object, status: int, model: object, *problems: str,
                 **more: object) -> Operation:  # fmt: skip
            media = None if model is None else "application/json"
            good = Answer(status, "Done." if model is None else "As asked.", model, media)
            return Operation(id=id, method=method, path=path, call=call, tag="webhooks", scope=SCOPE,  # type: ignore[arg-type]
                             answers=(good,), problems=problems, **more)  # type: ignore[arg-type]  # fmt: skip

        return [
            make("listEndpoints", "GET", ends, self.list_endpoints, 200, EndpointList),
            make("createEndpoint", "POST", ends, self.create, 201, EndpointCreated, *body, "conflict",
                 body=EndpointCreate),
            make("getEndpoint", "GET", one, self.get, 200, EndpointView, "not-found"),
            make("changeEndpoint", "PATCH", one, self.change, 200, EndpointView, *body, "not-found",
                 body=EndpointChange),
            make("deleteEndpoint", "DELETE", one, self.delete, 204, None, "not-found"),
            make("getEndpointSecret", "GET", one + "/secret", self.secret, 200, SecretView, "not-found"),
            make("rotateEndpointSecret", "POST", one + "/secret/rotate", self.rotate, 200, SecretView, "not-found"),
            make("getCallbackSecret", "GET", BASE + "/callback-secret", self.callback_secret, 200, SecretView),
            make("rotateCallbackSecret", "POST", BASE + "/callback-secret/rotate", self.rotate_callback, 200,
                 SecretView),
            make("listDeliveries", "GET", BASE + "/deliveries", self.deliveries, 200, DeliveryPage,
                 "invalid-parameter", query=DeliveryQuery),
            make("redeliver", "POST", BASE + "/deliveries/{deliveryId}/redeliver", self.redeliver, 202, DeliveryView,
                 "not-found"),
        ]  # fmt: skip

    async def list_endpoints(self, request: Request) -> Response:
        """The tenant's webhook endpoints."""
        tenant = tenant_of(request.scope).tenant
        rows = await self._store.read(lambda tx: tx.all("endpoints_all", tenant=tenant))
        return answer(EndpointList(endpoints=[_view(row) for row in rows]))

    async def create(self, request: Request) -> Response:
        """A new webhook endpoint with its signing secret."""
        asked = await read_body(request, EndpointCreate)
        _check(asked.url, self._deps.settings.webhook_targets)
        tenant, now = tenant_of(request.scope).tenant, self._deps.clock.now_ms()
        name = "we_" + base58(self._deps.ids.uuid().bytes)
        events = msgspec.json.encode([kind.value for kind in asked.events or EVERY]).decode()

        def put(tx: Tx) -> tuple[Row, Row]:
            if len(tx.all("endpoints_all", tenant=tenant)) >= ENDPOINTS_MOST:
                raise Problem("conflict", f"A tenant has at most {ENDPOINTS_MOST} endpoints.")
            tx.run("endpoint_put", id=name, tenant=tenant, url=asked.url, events=events,
                   description=asked.description, now=now)  # fmt: skip
            return _own(tx, tenant, name), ensure_secret(tx, self._deps.ids, ENDPOINT + name)

        row, secret = await self._store.transact(put)
        return answer(EndpointCreated(**msgspec.structs.asdict(_view(row)), secret=secret["secret"]), 201)

    async def get(self, request: Request) -> Response:
        """One webhook endpoint."""
        tenant, name = tenant_of(request.scope).tenant, request.path_params["endpointId"]
        return answer(_view(await self._store.read(lambda tx: _own(tx, tenant, name))))

    async def change(self, request: Request) -> Response:
        """Another address, other events, paused, or in service again."""
        asked = await read_body(request, EndpointChange)
        if asked.url is not None:
            _check(asked.url, self._deps.settings.webhook_targets)
        tenant, name = tenant_of(request.scope).tenant, request.path_params["endpointId"]
        events = None if asked.events is None else msgspec.json.encode([k.value for k in asked.events]).decode()

        def change(tx: Tx) -> Row:
            _own(tx, tenant, name)
            tx.run("endpoint_change", id=name, tenant=tenant, url=asked.url, events=events,
                   description=asked.description, status=asked.status, now=self._deps.clock.now_ms())  # fmt: skip
            return _own(tx, tenant, name)

        return answer(_view(await self._store.transact(change)))

    async def delete(self, request: Request) -> Response:
        """Take an endpoint away; what waits for it is given up."""
        tenant, name = tenant_of(request.scope).tenant, request.path_params["endpointId"]

        def drop(tx: Tx) -> None:
            _own(tx, tenant, name)
            tx.run("deliveries_dropped", endpoint=name)
            tx.run("secret_delete", owner=ENDPOINT + name)
            tx.run("endpoint_delete", id=name, tenant=tenant)

        await self._store.transact(drop)
        return Response(status_code=204)

    async def secret(self, request: Request) -> Response:
        """The signing secret of an endpoint."""
        tenant, name = tenant_of(request.scope).tenant, request.path_params["endpointId"]

        def read(tx: Tx) -> Row:
            _own(tx, tenant, name)
            return ensure_secret(tx, self._deps.ids, ENDPOINT + name)

        return answer(_secret(await self._store.transact(read)))

    async def rotate(self, request: Request) -> Response:
        """A new secret for an endpoint; the former one signs beside it for a day."""
        tenant, name = tenant_of(request.scope).tenant, request.path_params["endpointId"]
        until = self._deps.clock.now_ms() + OVERLAP_MS

        def turn(tx: Tx) -> Row:
            _own(tx, tenant, name)
            return rotate_secret(tx, self._deps.ids, ENDPOINT + name, until)

        return answer(_secret(await self._store.transact(turn)))

    async def callback_secret(self, request: Request) -> Response:
        """The secret that signs what goes to the `callbackUrl` of jobs (C26)."""
        owner = CALLBACK + tenant_of(request.scope).tenant
        return answer(_secret(await self._store.transact(lambda tx: ensure_secret(tx, self._deps.ids, owner))))

    async def rotate_callback(self, request: Request) -> Response:
        """A new secret for callbacks; the former one signs beside it for a day."""
        owner, until = CALLBACK + tenant_of(request.scope).tenant, self._deps.clock.now_ms() + OVERLAP_MS
        return answer(_secret(await self._store.transact(lambda tx: rotate_secret(tx, self._deps.ids, owner, until))))

    async def deliveries(self, request: Request) -> Response:
        """The log of deliveries with every attempt, newest first."""
        query, tenant = read_query(request, DeliveryQuery), tenant_of(request.scope).tenant

        def read(tx: Tx) -> list[DeliveryView]:
            rows = tx.all("deliveries_page", tenant=tenant, before=query.before, endpoint=query.endpoint_id,
                          state=query.state, most=query.limit)  # fmt: skip
            return [delivery_view(row, tx.all("attempts_of", delivery=row["id"])) for row in rows]

        views = await self._store.read(read)
        more = views[-1].delivery_id if len(views) == query.limit else None
        return answer(DeliveryPage(deliveries=views, next=more))

    async def redeliver(self, request: Request) -> Response:
        """Deliver once more, with the same message id."""
        tenant, name, now = (
            tenant_of(request.scope).tenant,
            request.path_params["deliveryId"],
            self._deps.clock.now_ms(),
        )

        def again(tx: Tx) -> DeliveryView:
            if not tx.run("delivery_again", id=name, tenant=tenant, now=now):
                raise Problem("not-found", "There is no such delivery.")
            row = tx.one("delivery_get", id=name, tenant=tenant)
            assert row is not None
            return delivery_view(row, tx.all("attempts_of", delivery=name))

        return answer(await self._store.transact(again), 202)


def _own(tx: Tx, tenant: str, name: str) -> Row:
    row = tx.one("endpoint_get", id=name, tenant=tenant)
    if row is None:
        raise Problem("not-found", "There is no such endpoint.")
    return row


def _check(url: str, policy: str) -> None:
    try:
        check_url(url)
        check_literal(url, policy)
    except TargetRefused as exc:
        raise Problem("webhook-target-refused", f"url: {exc}", errors=[FieldError("#/url", str(exc))]) from exc


def _view(row: Row) -> EndpointView:
    return EndpointView(
        endpoint_id=row["id"], url=row["url"], events=[WebhookType(e) for e in msgspec.json.decode(row["events"])],
        description=row["description"], status=row["status"], failures=row["failures"],
        created_at=rfc3339(row["created_at"]), updated_at=rfc3339(row["updated_at"]),
    )  # fmt: skip


def _secret(row: Row) -> SecretView:
    until = row["former_until"]
    return SecretView(secret=row["secret"], former_until=None if until is None else rfc3339(until))


def delivery_view(row: Row, attempts: list[Row]) -> DeliveryView:
    """One delivery with its attempts."""
    return DeliveryView(
        delivery_id=row["id"], endpoint_id=row["endpoint"], url=row["url"], job_id=job_id(row["job_id"]),
        type=WebhookType(row["type"]), state=row["state"], created_at=rfc3339(row["at"]),
        next_attempt_at=None if row["next_at"] is None else rfc3339(row["next_at"]),
        attempts=[
            AttemptView(attempt=a["n"], at=rfc3339(a["at"]), status=a["status"], error=a["error"], milliseconds=a["ms"])
            for a in attempts
        ],
    )  # fmt: skip
