"""What the gateway knows of one request, handed on in the ASGI scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simulator.gateway.desk import Desk
from simulator.identity.verifier import Principal
from simulator.intake.records import Tenant
from simulator.policy.backlog import Backlog
from simulator.policy.capacity import Capacity
from simulator.telemetry import trace_id

KEY = "zjops.context"
SEAT = "zjops.seat"
"""Where in the scope stands the seat that the door gave, if it gave one."""
LATE = "zjops.late"
"""Stands in the scope of a request whose body did not come with its head."""


class Seat(NamedTuple):
    """That a submission is counted: where as under way, where as let in though accepted work waits, and as whose."""

    capacity: Capacity | None
    tenant: str
    backlog: Backlog | None = None

    def end(self, jobs: int, now_s: float) -> None:
        """It was answered, and brought so many jobs."""
        if self.capacity is not None:
            self.capacity.end(self.tenant, now_s)
        if self.backlog is not None:
            self.backlog.took(self.tenant, jobs - 1, now_s)

    def forgo(self) -> None:
        """It is given up before anything came of it."""
        if self.capacity is not None:
            self.capacity.forgo(self.tenant)
        if self.backlog is not None:
            self.backlog.forgo(self.tenant)


@dataclass(slots=True)
class RequestContext:
    """Trace, address, caller and plan of one request, and the headers that its answer must carry.

    `given` holds the request's own headers, names in lower case; of one that stands twice the last. `answer` sends a
    whole answer in one step. `seat` is how it is counted while it is under way; `late` that it is only once its body
    has come, in `room`; `jobs` how many were stored for it. `waited_s` is how long the caller was waited for, because
    it preferred that or sent its body late. `trial` says that by this request the tenant's breaker sees whether to
    close.
    """

    traceparent: str
    given: dict[bytes, bytes] = field(default_factory=dict)
    request_id: str = ""
    address: str = "unknown"
    operation: str = "unknown"
    principal: Principal | None = None
    tenant: Tenant | None = None
    desk: Desk | None = None
    headers: dict[str, str] = field(default_factory=dict)
    admitted: bool = False
    seat: Seat | None = None
    waited_s: float = 0.0
    late: bool = False
    room: Capacity | None = None
    jobs: int = 0
    trial: bool = False
    answer: Callable[[int, list[tuple[bytes, bytes]], bytes], Awaitable[None]] | None = None

    @property
    def trace_id(self) -> str:
        """The 32 hex digits of the trace."""
        return trace_id(self.traceparent)


def context_of(scope: Any) -> RequestContext:
    """The context of a request that passed the gateway."""
    context: RequestContext = scope[KEY]
    return context


def tenant_of(scope: Any) -> Tenant:
    """The tenant of an identified request."""
    tenant = context_of(scope).tenant
    assert tenant is not None
    return tenant
