"""The door: refuses submissions for which there is no room before anything is made of them.

To refuse must cost much less than to accept, else a flood of what is refused takes the time of what was let in: by the
ordinary way a refusal costs half as much as an accepted job. What the door does not know for certain it lets pass, and
the gateway, which looks at everything, refuses it there.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.types import Scope

from simulator.gateway.context import SEAT
from simulator.gateway.cycle import Pairs
from simulator.gateway.exchange import FIXED_LINES
from simulator.gateway.problems import MEDIA_TYPE
from simulator.gateway.stack import REQUEST_ID, Rule, text_of
from simulator.gateway.tally import RequestTally
from simulator.gateway.tenants import Shed, TenantGuard, overloaded
from simulator.gateway.versions import Versions
from simulator.identity.verifier import Principal, TokenRefused, Verifier
from simulator.telemetry import trace_id
from simulator.tracing import Tracing

SMALL = 65_536
"""A longer body is not waited for: the gateway answers before it has come."""
APART = frozenset({b"expect", b"origin", b"prefer", b"transfer-encoding", b"upgrade", b"x-device-fingerprint"})
"""What has one of these headers goes the ordinary way."""


class Door:
    """Asked once for every request, when its head is there."""

    def __init__(
        self, rules: Callable[[str, str], Rule | None], verifier: Verifier, tenants: TenantGuard, versions: Versions,
        tracing: Tracing, tally: RequestTally,
    ) -> None:  # fmt: skip
        self._rules, self._verifier, self._tenants, self._versions = rules, verifier, tenants, versions
        self._tracing, self._tally = tracing, tally

    def refusal(self, scope: Scope, headers: Pairs) -> bytes | None:
        """The answer with which a request ends here, without the server's own headers; None for all others.

        Who passes in a crowd has a seat already, in the scope: many are read before the first of them is looked at.
        """
        method, path = scope["method"], scope["path"]
        if method != "POST" or not self._tenants.crowded:
            return None
        rule = self._rules(method, path)
        if rule is None or not rule.submission or self._tracing.exports:
            return None
        given = dict(headers)
        length = given.get(b"content-length", b"")
        if len(given) != len(headers) or not length.isdigit() or not APART.isdisjoint(given):
            return None
        if len(length) > 5 or int(length) > SMALL:
            return None
        version = self._versions.headers(path, text_of(given, b"accept-version"))
        principal = self._principal(given.get(b"authorization"))
        if version is None or principal is None or rule.scope not in principal.scopes:
            return None
        shed = self._tenants.seat_or_shed(principal.tenant, int(length), bulk=rule.bulk)
        if not isinstance(shed, Shed):
            scope[SEAT] = shed
            return None
        self._tally.add((method, rule.name, 503, shed.plan), 0.0, float(length))
        return self._answer(shed, version, path, given)

    def _principal(self, given: bytes | None) -> Principal | None:
        try:
            return None if given is None else self._verifier.remembered(given)
        except TokenRefused:
            return None

    def _answer(self, shed: Shed, version: dict[str, str], path: str, given: dict[bytes, bytes]) -> bytes:
        problem = overloaded(shed.refused)
        span = self._tracing.begin(given.get(b"traceparent"), None).traceparent
        body = msgspec.json.encode(problem.document(path, trace_id(span)))
        said = text_of(given, b"x-request-id") or ""
        told = shed.headers | version | (problem.headers or {}) | {
            "traceparent": span, "x-request-id": said if REQUEST_ID.fullmatch(said) else span[36:52],
            "content-type": MEDIA_TYPE, "content-length": str(len(body)),
        }  # fmt: skip
        head = "\r\n".join(map(": ".join, told.items()))
        return b"%b%b\r\n\r\n%b" % (FIXED_LINES, head.encode("latin-1"), body)
