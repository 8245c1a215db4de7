"""Idempotency keys of requests, by the field's draft: a header, a UUID version 4, bare or quoted (R23)."""

from __future__ import annotations

import uuid

from simulator.api.contract.operation import Header
from simulator.gateway.context import RequestContext
from zjops.domain.errors import Problem
from zjops.domain.ids import parse_uuid4

_UUID4 = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
KEY_PROBLEMS = ("idempotency-key-missing", "idempotency-key-malformed")
REPLAYED = Header("Idempotent-Replayed", "true when an earlier request had been accepted.", {"type": "string"})


def key_header(meaning: str) -> Header:
    """The request's header, with what a key means to the operation."""
    return Header(
        "Idempotency-Key",
        f"UUID version 4, bare or as a quoted Structured-Field String; {meaning}",
        {"type": "string", "pattern": f'^({_UUID4}|"{_UUID4}")$', "example": "8e03978e-40d5-43e8-bc93-6894a57f9324"},
        required=True,
    )


def key_of(context: RequestContext) -> uuid.UUID:
    """The key that a request carries. Raises `Problem` (400)."""
    given = context.given.get(b"idempotency-key")
    if given is None:
        raise Problem("idempotency-key-missing", "Send a UUID version 4 as Idempotency-Key.")
    try:
        return parse_uuid4(given.decode("latin-1"))
    except ValueError as exc:
        raise Problem("idempotency-key-malformed", "Idempotency-Key must be a UUID version 4.") from exc
