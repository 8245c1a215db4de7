"""The verifier: an access token to a principal, strict after RFC 9068, remembered by its hash until it expires."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from zjops.domain.clock import Clock
from zjops.domain.errors import ZjopsError

ALGORITHMS = ["ES256", "RS256"]
LEEWAY_S = 5
CACHE_MOST = 10_000
REQUIRED = ("iss", "aud", "sub", "client_id", "tenant_id", "exp", "iat", "jti")


class TokenRefused(ZjopsError):
    """The token does not identify anyone; the text says why and never repeats the token."""


class Principal(NamedTuple):
    """Who calls: client, tenant, scopes; `expires_at` in Unix seconds."""

    client_id: str
    tenant: str
    scopes: frozenset[str]
    expires_at: int


class Verifier:
    """Checks signature, type, algorithm, issuer, audience and times."""

    def __init__(self, clock: Clock, jwks: Callable[[], dict[str, Any]], *, issuer: str, audience: str) -> None:
        self._clock, self._jwks = clock, jwks
        self._issuer, self._audience = issuer, audience
        self._known: dict[bytes, Principal] = {}

    def verify(self, token: str) -> Principal:
        """The principal of a token. Raises `TokenRefused`."""
        digest = hashlib.sha256(token.encode()).digest()
        now = self._clock.now_ms() // 1000
        principal = self._known.get(digest)
        if principal is None:
            principal = self._principal(self._decode(token), now)
            if len(self._known) >= CACHE_MOST:
                self._known.clear()
            self._known[digest] = principal
        if principal.expires_at + LEEWAY_S < now:
            self._known.pop(digest, None)
            raise TokenRefused("The token has expired.")
        return principal

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            decoded = jwt.decode(token, KeySet.import_key_set(cast(Any, self._jwks())), algorithms=ALGORITHMS)
        except (JoseError, ValueError, TypeError, KeyError) as exc:
            raise TokenRefused("The token is not one of this issuer's.") from exc
        if str(decoded.header.get("typ", "")).lower() not in ("at+jwt", "application/at+jwt"):
            raise TokenRefused("The token is not an access token (typ at+jwt).")
        return decoded.claims

    def _principal(self, claims: dict[str, Any], now: int) -> Principal:
        missing = [name for name in REQUIRED if name not in claims]
        if missing:
            raise TokenRefused(f"The token lacks {', '.join(missing)}.")
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims["iss"] != self._issuer or self._audience not in audience:
            raise TokenRefused("The token was issued by or for somebody else.")
        if not isinstance(claims["exp"], int) or not isinstance(claims["iat"], int) or claims["iat"] > now + LEEWAY_S:
            raise TokenRefused("The token's times are wrong.")
        scopes = frozenset(str(claims.get("scope", "")).split())
        return Principal(str(claims["client_id"]), str(claims["tenant_id"]), scopes, claims["exp"])
