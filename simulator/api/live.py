"""Following jobs: WebSocket (R15, R86, R87), server-sent events (S2), and tickets for browsers (C28)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from simulator.api.contract.inputs import read_query
from simulator.api.contract.operation import Answer, Header, Operation
from simulator.api.deps import ApiDeps, answer
from simulator.gateway.context import context_of, tenant_of
from simulator.identity.verifier import Principal, TokenRefused
from simulator.intake.endings import find_job
from simulator.intake.records import SUBMIT_PATH
from simulator.live.changes import is_over
from simulator.live.hub import JOBS_MOST, Follower, SlowConsumer
from simulator.live.tickets import LIFETIME_S, Tickets
from simulator.store.port import Row
from zjops.domain.errors import Problem, UnreachableError
from zjops.domain.ids import job_key
from zjops.domain.wire_webhooks import SubscribeQuery, Ticket

PATH = SUBMIT_PATH + "/subscribe"
PROTOCOL = "zjops.v1"
TOKEN_ENDED, SLOW, POLICY = 4401, 4408, 1008
HEARTBEAT_S = 15.0
CHECK_EVERY_S = 2.0
SEND_WITHIN_S = 30.0
MESSAGE_BYTES = 65_536


class Ask(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a client may say. `after` resumes: the last change number that it has seen of a job."""

    action: str
    job_ids: list[str] = []
    after: dict[str, int] = {}


class LiveRoutes:
    """Handlers of the live interfaces."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._tickets = Tickets(deps.store, deps.clock, deps.ids)

    def operations(self) -> list[Operation]:
        """The operations of this resource."""
        last = Header("Last-Event-ID", "The last change number that was seen; what came after it is sent again.",
                      {"type": "string", "pattern": "^[0-9]{1,2}$"})  # fmt: skip
        return [
            Operation(
                id="subscribeJobs", method="GET", path=PATH, call=self.plain, tag="live", scope="jobs:read",
                query=SubscribeQuery,
                answers=(Answer(101, "The protocol changes to WebSocket.", None, None),),
                problems=("upgrade-required", "invalid-parameter"),
            ),
            Operation(
                id="createTicket", method="POST", path=PATH + "/tickets", call=self.ticket, tag="live",
                scope="jobs:read", answers=(Answer(201, "A ticket.", Ticket),),
            ),
            Operation(
                id="streamJob", method="GET", path=SUBMIT_PATH + "/{jobId}/stream", call=self.stream, tag="live",
                scope="jobs:read", headers=(last,),
                answers=(Answer(200, "Changes as events, until none can follow.", None, "text/event-stream"),),
                problems=("not-found",),
            ),
        ]  # fmt: skip

    async def plain(self, request: Request) -> Response:
        """Follow jobs by WebSocket (R15, R86).

        Identify by the Authorization header, by the subprotocols `zjops.v1, bearer.<token>`, or by a ticket. Send
        `{"action":"subscribe","jobIds":[…],"after":{…}}`; every change of each job follows in order, those after the
        given number first. Codes: 4401 the token has expired or was revoked, 1008 the tenant is suspended, 4408 the
        client reads too slowly.
        """
        read_query(request, SubscribeQuery)
        raise Problem("upgrade-required", "Ask for a WebSocket here.", headers={"Upgrade": "websocket",
                                                                               "Connection": "Upgrade"})  # fmt: skip

    async def ticket(self, request: Request) -> Response:
        """A one-time ticket for the WebSocket, for clients that cannot set a header (C28)."""
        principal = context_of(request.scope).principal
        assert principal is not None
        return answer(Ticket(ticket=await self._tickets.issue(principal), expires_in=LIFETIME_S), 201)

    async def stream(self, request: Request) -> Response:
        """Follow one job by server-sent events (S2); `Last-Event-ID` resumes, comments keep the line alive."""
        tenant, name = tenant_of(request.scope).tenant, request.path_params["jobId"]
        row = await self._deps.store.read(lambda tx: find_job(tx, tenant, name))
        after = request.headers.get("last-event-id", "0")
        start = int(after) if after.isascii() and after.isdigit() and len(after) < 3 else 0
        media, headers = "text/event-stream", {"X-Accel-Buffering": "no"}
        if request.method == "HEAD":
            return Response(media_type=media, headers=headers)
        principal = context_of(request.scope).principal
        assert principal is not None
        body = self._events(Follower(tenant), principal, row, start)
        return _Stream(body, media_type=media, headers=headers)

    async def _events(
        self, follower: Follower, principal: Principal, row: Row, start: int
    ) -> AsyncIterator[bytes]:  # fmt: skip
        # Followed only once this runs: what never began would never be forgotten.
        over, quiet_s = is_over(row), 0.0
        try:
            yield b"retry: 2000\n\n"
            await self._deps.hub.follow(follower, {row["id"]: start})
            while not (over and follower.waiting.empty()) and await self._ended(principal) is None:
                message = await follower.next(CHECK_EVERY_S)
                if message is None:
                    quiet_s += CHECK_EVERY_S
                    if quiet_s >= HEARTBEAT_S:
                        quiet_s = 0.0
                        yield b": still here\n\n"
                    continue
                told = msgspec.json.decode(message)
                number, status = told["sequence"], told["status"]
                over = over or number == 4 or status == "cancelled"
                yield b"id: %d\nevent: %s\ndata: %s\n\n" % (number, status.encode(), message)
        except (SlowConsumer, UnreachableError):
            return
        finally:
            self._deps.hub.unfollow(follower)

    async def _ended(self, principal: Principal) -> tuple[int, str] | None:
        """Why a connection must end: its token has expired or was revoked, or its tenant is suspended."""
        if principal.expires_at <= self._deps.clock.now_ms() / 1000:
            return TOKEN_ENDED, "the token has expired"
        try:
            self._deps.verifier.still(principal)
            state = await self._deps.directory.get(principal.tenant)
        except TokenRefused as exc:
            return TOKEN_ENDED, str(exc)
        except UnreachableError:
            return None
        active = state is not None and state.tenant.status == "active"
        return None if active else (POLICY, "the tenant is suspended")

    async def principal_of_ticket(self, scope: Any) -> None:
        """Before the gateway looks: a ticket in the address identifies the WebSocket."""
        query = read_query(Request({**scope, "type": "http", "method": "GET"}), SubscribeQuery)
        if query.ticket is not None:
            scope["zjops.ticket"] = await self._tickets.take(query.ticket)

    async def socket(self, websocket: WebSocket) -> None:
        """One WebSocket from its acceptance to its end."""
        chosen = PROTOCOL if PROTOCOL in (websocket.scope.get("subprotocols") or []) else None
        await websocket.accept(subprotocol=chosen)
        context = context_of(websocket.scope)
        assert context.principal is not None
        follower = Follower(tenant_of(websocket.scope).tenant)
        tasks = [
            asyncio.create_task(self._hear(websocket, follower)),
            asyncio.create_task(self._tell(websocket, follower)),
            asyncio.create_task(self._watch(context.principal)),
            asyncio.create_task(_drop(follower)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code, reason = next(iter(done)).result()
        finally:
            self._deps.hub.unfollow(follower)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if code and websocket.application_state is WebSocketState.CONNECTED:
            # Who does not read does not hear of the end either.
            with contextlib.suppress(RuntimeError, TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S):
                    await websocket.close(code, reason)

    async def _watch(self, principal: Principal) -> tuple[int, str]:
        while (ended := await self._ended(principal)) is None:
            left_s = principal.expires_at - self._deps.clock.now_ms() / 1000
            await self._deps.clock.sleep(min(max(left_s, 0.0), CHECK_EVERY_S))
        return ended

    async def _tell(self, websocket: WebSocket, follower: Follower) -> tuple[int, str]:
        while True:
            try:
                message = await follower.next(HEARTBEAT_S)
            except SlowConsumer:
                return SLOW, "too slow"
            if message is not None:
                await websocket.send_text(message.decode())

    async def _hear(self, websocket: WebSocket, follower: Follower) -> tuple[int, str]:
        while True:
            try:
                text = await websocket.receive_text()
            except (WebSocketDisconnect, KeyError):
                return 0, ""
            try:
                await self._obey(websocket, follower, text)
            except Problem as problem:
                document = problem.document(PATH, context_of(websocket.scope).trace_id)
                await websocket.send_text(msgspec.json.encode({"error": document}).decode())

    async def _obey(self, websocket: WebSocket, follower: Follower, text: str) -> None:
        if len(text) > MESSAGE_BYTES:
            raise Problem("payload-too-large", f"A message may hold {MESSAGE_BYTES} bytes.")
        try:
            ask = msgspec.json.decode(text, type=Ask)
        except (msgspec.MsgspecError, RecursionError, ValueError) as exc:
            raise Problem("malformed-request", f"The message cannot be read: {exc}") from exc
        keys = {_key(name): ask.after.get(name, 0) for name in ask.job_ids}
        if ask.action == "unsubscribe":
            self._deps.hub.unfollow(follower, [key for key in keys if key])
            return
        if ask.action != "subscribe" or not keys:
            raise Problem("invalid-parameter", "action is subscribe or unsubscribe, jobIds names at least one job.")
        if len(follower.told.keys() | keys.keys()) > JOBS_MOST:
            raise Problem("invalid-parameter", f"One connection follows at most {JOBS_MOST} jobs.")
        found = await self._deps.hub.follow(follower, {key: n for key, n in keys.items() if key})
        missing = [name for name in ask.job_ids if _key(name) not in found]
        if missing:
            raise Problem("not-found", "There is no such job.", extra={"jobIds": missing})


async def _drop(follower: Follower) -> tuple[int, str]:
    """Ends a connection whose reader is too slow, even while something is being sent to it."""
    await follower.dropped.wait()
    return SLOW, "too slow"


class _Stream(StreamingResponse):
    """Gives up a reader who takes nothing for a while, rather than wait for it without end."""

    async def stream_response(self, send: Send) -> None:
        async def within(message: Message) -> None:
            async with asyncio.timeout(SEND_WITHIN_S):
                await send(message)

        with contextlib.suppress(TimeoutError):
            await super().stream_response(within)


def _key(name: str) -> bytes:
    try:
        return job_key(name)
    except ValueError:
        return b""
