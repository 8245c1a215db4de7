"""What all operators' handlers share: the audit log and the table of operations."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.abuse import record
from simulator.api.contract.operation import Answer, Handler, Header, Operation
from simulator.api.deps import ApiDeps
from simulator.gateway.context import context_of
from simulator.store.port import Row, Tx
from zjops.domain.errors import Problem
from zjops.domain.events import OpsKind
from zjops.domain.ids import job_key

BASE = "/v1/admin"
BODY = ("unsupported-media-type", "validation-failed")


def operation(
    id: str, method: str, path: str, call: Handler, model: Any, *problems: str, status: int = 200,
    media: str | None = "application/json", told: tuple[Header, ...] = (), **more: Any,
) -> Operation:  # fmt: skip
    """One operators' operation; `told` are headers of its good answer."""
    answer = Answer(status, "As asked." if model is not None or media else "Done.", model, media, told)
    return Operation(
        id=id, method=method, path=BASE + path, call=_noting(id, call), tag="admin", scope="jobs:admin",
        answers=(answer,), problems=problems, **more,
    )  # fmt: skip


def _noting(id: str, call: Handler) -> Handler:
    """The same handler; a call that it refuses is in the audit log too."""
    part: AdminPart = call.__self__  # type: ignore[attr-defined]

    @functools.wraps(call)
    async def noted(request: Request) -> Response:
        try:
            return await call(request)
        except Problem as problem:
            await part.refused(request, id, problem)
            raise

    return noted


class AdminPart:
    """Handlers of one part of the operators' door."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps, self._store = deps, deps.store

    def _actor(self, request: Request) -> str:
        principal = context_of(request.scope).principal
        assert principal is not None
        return principal.client_id

    def _record(
        self, tx: Tx, request: Request, kind: OpsKind, action: str, target: str, reason: str | None = None, **v: Any
    ) -> None:
        """An entry of the audit log and its OPS event, in the transaction of the act."""
        record(
            tx, self._deps.ids, self._deps.clock, kind, actor=self._actor(request), action=action, target=target,
            reason=reason, **v,
        )  # fmt: skip

    async def refused(self, request: Request, id: str, problem: Problem) -> None:
        """What an operator tried and was refused; nothing has changed, so no event tells of it."""
        details = msgspec.json.encode({"operation": id, "status": problem.status, "code": problem.kind.code}).decode()
        actor, now, target = self._actor(request), self._deps.clock.now_ms(), request.url.path[:200]
        await self._store.transact(lambda tx: tx.run(
            "audit_put", now=now, actor=actor, action="call.refused", target=target, reason=None, details=details
        ))  # fmt: skip

    async def _looked(self, request: Request, what: str, target: str = "platform") -> None:
        """A reading is in the audit log too, without an event: nothing has changed."""
        actor, now = self._actor(request), self._deps.clock.now_ms()
        await self._store.transact(
            lambda tx: tx.run("audit_put", now=now, actor=actor, action=what, target=target, reason=None, details="{}")
        )


def job_named(tx: Tx, name: str) -> Row:
    """The job of any tenant by its public id. Raises `Problem` (404)."""
    try:
        row = tx.one("job_get", id=job_key(name))
    except ValueError:
        row = None
    if row is None:
        raise Problem("not-found", "There is no such job.")
    return row


def done() -> Response:
    """204."""
    return Response(status_code=204)
