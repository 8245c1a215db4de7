"""`private_key_jwt` (RFC 7523): a client signs with a key whose public half the platform holds."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from simulator.store.port import Tx

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ["ES256", "RS256", "PS256"]
LIFETIME_MOST_S = 300
UNREADABLE = (JoseError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What a token or key of a stranger's making can raise on its way through the parsers."""


def claimed_client(assertion: str) -> str:
    """Who the assertion says it is from, before anything is believed; empty when it cannot be read."""
    try:
        part = assertion.split(".")[1]
        name = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"]
    except UNREADABLE:
        return ""
    return name if isinstance(name, str) and name.isprintable() else ""


def verified(assertion: str, jwks: str, client_id: str, audiences: frozenset[str], now: int) -> dict[str, Any] | None:
    """The claims of an assertion that this client signed for us, None otherwise. `now` in Unix seconds."""
    try:
        keys = KeySet.import_key_set(json.loads(jwks))
        claims = jwt.decode(assertion, keys, algorithms=ALGORITHMS).claims
    except UNREADABLE:
        return None
    audience = claims.get("aud")
    named = {name for name in (audience if isinstance(audience, list) else [audience]) if isinstance(name, str)}
    times = isinstance(claims.get("exp"), int) and now < claims["exp"] <= now + LIFETIME_MOST_S
    good = claims.get("iss") == claims.get("sub") == client_id and bool(named & audiences) and times
    return claims if good and isinstance(claims.get("jti"), str) else None


def spend(tx: Tx, client_id: str, jti: str, expires_at_ms: int, now_ms: int) -> bool:
    """Use an assertion up; False when it had been used."""
    tx.run("assertions_purge", now=now_ms)
    digest = hashlib.sha256(f"{client_id}\0{jti}".encode()).digest()
    return tx.run("assertion_put", digest=digest, expires_at=expires_at_ms) == 1
