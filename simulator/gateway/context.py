"""What the gateway knows of one request, handed on in the ASGI scope."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.identity.verifier import Principal
from simulator.intake.records import Tenant
from simulator.telemetry import trace_id

KEY = "zjops.context"


@dataclass
class RequestContext:
    """Trace, caller and plan of one request, and the headers that its answer must carry."""

    traceparent: str
    principal: Principal | None = None
    tenant: Tenant | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        """The 32 hex digits of the trace."""
        return trace_id(self.traceparent)


def context_of(scope: Any) -> RequestContext:
    """The context of a request that passed the gateway."""
    context: RequestContext = scope[KEY]
    return context
