"""The verifier: an access token to a principal, strict after RFC 9068, remembered by its hash until it expires."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple, Protocol, cast

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import KeySet

from simulator.identity.assertions import UNREADABLE
from zjops.domain.clock import Clock
from zjops.domain.errors import ZjopsError

ALGORITHMS = ["ES256", "RS256"]
LEEWAY_S = 5
CACHE_MOST = 10_000
TYPES = {"rfc9068": ("at+jwt", "application/at+jwt"), "keycloak": ("jwt", "at+jwt", "application/at+jwt")}
REQUIRED = ("iss", "aud", "sub", "tenant_id", "exp", "iat", "jti")


class TokenRefused(ZjopsError):
    """The token does not identify anyone; the text says why and never repeats the token."""


class Principal(NamedTuple):
    """Who calls: client, tenant, scopes, the token's id; `expires_at` in Unix seconds."""

    client_id: str
    tenant: str
    scopes: frozenset[str]
    expires_at: int
    jti: str = ""


class Keys(Protocol):
    """Where public keys come from."""

    async def refresh(self, force: bool = False) -> None: ...

    def jwks(self) -> dict[str, Any]: ...


class Verifier:
    """Checks signature, type, algorithm, issuer, audience, times and revocation."""

    def __init__(self, clock: Clock, keys: Keys, *, issuer: str, audience: str, profile: str = "rfc9068") -> None:
        self._clock, self._keys = clock, keys
        self.issuer, self._audience, self._profile = issuer, audience, profile
        self._known: dict[bytes, Principal] = {}
        self._revoked: frozenset[str] = frozenset()

    def revoke(self, jtis: frozenset[str]) -> None:
        """From here on these token ids are refused."""
        self._revoked = jtis

    def remembered(self, given: bytes) -> Principal | None:
        """The principal of a header that was verified before; None when it must be verified. Raises `TokenRefused`."""
        principal = self._known.get(hashlib.sha256(given).digest())
        return None if principal is None else self.still(principal)

    async def verify(self, token: str, given: bytes | None = None) -> Principal:
        """The principal of a token, remembered by the header that carried it. Raises `TokenRefused`."""
        principal = self._principal(await self._decode(token))
        if given is not None:
            if len(self._known) >= CACHE_MOST:
                self._known.clear()
            self._known[hashlib.sha256(given).digest()] = principal
        return self.still(principal)

    def still(self, principal: Principal) -> Principal:
        """The principal, while its token is neither late nor revoked. Raises `TokenRefused`."""
        if principal.expires_at + LEEWAY_S < self._clock.now_ms() // 1000:
            raise TokenRefused("The token has expired.")
        if principal.jti in self._revoked:
            raise TokenRefused("The token was revoked.")
        return principal

    async def _decode(self, token: str) -> dict[str, Any]:
        await self._keys.refresh()
        try:
            try:
                decoded = self._open(token)
            except (InvalidKeyIdError, KeyError, ValueError):
                # A key that is not known may be a new one: ask once.
                await self._keys.refresh(force=True)
                decoded = self._open(token)
        except UNREADABLE as exc:
            raise TokenRefused("The token is not one of this issuer's.") from exc
        if str(decoded.header.get("typ", "")).lower() not in TYPES[self._profile]:
            raise TokenRefused("The token is not an access token (typ at+jwt).")
        return cast(dict[str, Any], decoded.claims)

    def _open(self, token: str) -> Any:
        return jwt.decode(token, KeySet.import_key_set(cast(Any, self._keys.jwks())), algorithms=ALGORITHMS)

    def _principal(self, claims: dict[str, Any]) -> Principal:
        missing = [name for name in REQUIRED if name not in claims]
        client = claims.get("client_id") or (claims.get("azp") if self._profile == "keycloak" else None)
        if missing or not client:
            raise TokenRefused(f"The token lacks {', '.join(missing or ['client_id'])}.")
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        if claims["iss"] != self.issuer or self._audience not in audience:
            raise TokenRefused("The token was issued by or for somebody else.")
        times = [claims["exp"], claims["iat"], claims.get("nbf", 0)]
        now = self._clock.now_ms() // 1000 + LEEWAY_S
        if not all(isinstance(t, int) for t in times) or claims["iat"] > now or times[2] > now:
            raise TokenRefused("The token's times are wrong.")
        scopes = frozenset(str(claims.get("scope", "")).split())
        return Principal(str(client), str(claims["tenant_id"]), scopes, claims["exp"], str(claims["jti"]))
