"""The token issuer: client credentials grant (RFC 6749 section 4.4), access tokens after RFC 9068, revocation."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qs, unquote

import msgspec
from joserfc import jwt
from joserfc.jwk import KeySet

from simulator.identity.assertions import ASSERTION_TYPE, UNREADABLE, claimed_client, spend, verified
from simulator.identity.clients import Client, authenticate
from simulator.identity.keys import ALGORITHM, SigningKeys
from simulator.identity.roles import SCOPES
from simulator.store.port import Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.errors import ZjopsError
from zjops.domain.ids import Ids
from zjops.domain.wire import TokenReply

LIFETIME_S = 900
REALM_PATH = "/realms/zama"
TOKEN_PATH = REALM_PATH + "/protocol/openid-connect/token"
REVOKE_PATH = REALM_PATH + "/protocol/openid-connect/revoke"
JWKS_PATH = REALM_PATH + "/protocol/openid-connect/certs"
FORM = "application/x-www-form-urlencoded"
PARAMETERS = frozenset({
    "grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type", "token",
    "token_type_hint",
})  # fmt: skip
METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]


class OAuthError(ZjopsError):
    """An error of the token endpoint (RFC 6749 section 5.2): its code, and 401 for a client that is not known."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.status = 401 if code == "invalid_client" else 400


def credentials(authorization: str | None, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret from HTTP Basic or from the form. Raises `OAuthError`."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, found, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            found = ""
        if not found:
            raise OAuthError("invalid_client", "The Authorization header is not HTTP Basic.")
        return unquote(name), unquote(secret)
    if "client_id" in form and "client_secret" in form:
        return form["client_id"], form["client_secret"]
    raise OAuthError("invalid_client", "Send client credentials by HTTP Basic, or a client_assertion.")


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """The form of a request. Raises `OAuthError` for another media type and for what stands twice."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise OAuthError("invalid_request", f"Send {FORM}.")
    try:
        found = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=50)
    except ValueError as exc:
        raise OAuthError("invalid_request", "The form cannot be read.") from exc
    if any(len(values) > 1 for name, values in found.items() if name in PARAMETERS):
        raise OAuthError("invalid_request", "A parameter stands twice.")
    return {name: values[0] for name, values in found.items()}


class Issuer:
    """Issues and revokes tokens and publishes what others need to verify them."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, keys: SigningKeys, *, issuer: str, audience: str,
        profile: str = "rfc9068",
    ) -> None:  # fmt: skip
        self._store, self._clock, self._ids, self.keys = store, clock, ids, keys
        self.issuer, self.audience, self._profile = issuer, audience, profile

    def metadata(self, base: str) -> dict[str, Any]:
        """Authorization server metadata (RFC 8414)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": base + TOKEN_PATH,
            "revocation_endpoint": base + REVOKE_PATH,
            "jwks_uri": base + JWKS_PATH,
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": METHODS,
            "token_endpoint_auth_signing_alg_values_supported": ["ES256", "RS256", "PS256"],
            "revocation_endpoint_auth_methods_supported": METHODS,
            "scopes_supported": list(SCOPES),
            "service_documentation": base + "/docs",
        }

    async def token(self, authorization: str | None, form: dict[str, str]) -> TokenReply:
        """Answer a token request. Raises `OAuthError`."""
        if "grant_type" not in form:
            raise OAuthError("invalid_request", "grant_type is missing.")
        if form["grant_type"] != "client_credentials":
            raise OAuthError("unsupported_grant_type", "Only client_credentials is granted here.")
        client = await self._client(authorization, form)
        asked = tuple(form["scope"].split()) if form.get("scope") else client.scopes
        if not set(asked) <= set(client.scopes):
            raise OAuthError("invalid_scope", "The client may not ask for all of these scopes.")
        await self.keys.refresh()
        jti = str(self._ids.uuid())
        await self._store.transact(lambda tx: self._note(tx, client, jti))
        return TokenReply(self._sign(client, " ".join(asked), jti), LIFETIME_S, " ".join(asked))

    async def revoke(self, authorization: str | None, form: dict[str, str]) -> None:
        """Revoke an access token of the client (RFC 7009); a token that is none is as good as revoked."""
        client = await self._client(authorization, form)
        if "token" not in form:
            raise OAuthError("invalid_request", "token is missing.")
        await self.keys.refresh()
        try:
            keys = KeySet.import_key_set(cast(Any, self.keys.jwks()))
            claims = jwt.decode(form["token"], keys, algorithms=[ALGORITHM]).claims
        except UNREADABLE:
            return
        if claims.get("sub") == client.client_id:
            await self._store.transact(lambda tx: self._revoke(tx, client, claims))

    def _revoke(self, tx: Tx, client: Client, claims: dict[str, Any]) -> None:
        now = self._clock.now_ms()
        tx.run("revoked_purge", now=now)
        tx.run("revoked_put", jti=str(claims["jti"]), expires_at=(int(claims["exp"]) + 60) * 1000)
        self._audit(tx, client, "token.revocation", {"jti": claims["jti"]})

    def _note(self, tx: Tx, client: Client, jti: str) -> None:
        """Each issue names the token before it (C22)."""
        former = tx.one("issued_get", client_id=client.client_id)
        tx.run("issued_put", client_id=client.client_id, jti=jti)
        action = "token.refresh" if former else "login.success"
        self._audit(tx, client, action, {"jti": jti, "former": former["jti"] if former else None})

    def _audit(self, tx: Tx, client: Client, action: str, details: dict[str, Any]) -> None:
        tx.run(
            "audit_put", now=self._clock.now_ms(), actor=client.client_id, action=action, target=client.tenant,
            reason=None, details=msgspec.json.encode(details).decode(),
        )  # fmt: skip

    async def _client(self, authorization: str | None, form: dict[str, str]) -> Client:
        if form.get("client_assertion_type") == ASSERTION_TYPE:
            client = await self._asserted(form.get("client_assertion", ""))
        else:
            name, secret = credentials(authorization, form)
            client = await self._store.read(lambda tx: authenticate(tx, name, secret))
        if client is None:
            raise OAuthError("invalid_client", "Unknown client, or wrong secret or assertion.")
        return client

    async def _asserted(self, assertion: str) -> Client | None:
        name, now_ms = claimed_client(assertion), self._clock.now_ms()
        row = await self._store.read(lambda tx: tx.one("client_get", client_id=name))
        if row is None or row["jwks"] is None or row["status"] != "active":
            return None
        audiences = frozenset({self.issuer, self.issuer + TOKEN_PATH.removeprefix(REALM_PATH)})
        claims = verified(assertion, row["jwks"], name, audiences, now_ms // 1000)
        if claims is None:
            return None
        fresh = await self._store.transact(lambda tx: spend(tx, name, claims["jti"], claims["exp"] * 1000, now_ms))
        return Client(name, row["tenant"], tuple(row["scopes"].split())) if fresh else None

    def _sign(self, client: Client, scope: str, jti: str) -> str:
        now, key = self._clock.now_ms() // 1000, self.keys.signing()
        claims = {
            "iss": self.issuer, "aud": self.audience, "sub": client.client_id, "tenant_id": client.tenant,
            "scope": scope, "iat": now, "exp": now + LIFETIME_S, "jti": jti,
        }  # fmt: skip
        keycloak = self._profile == "keycloak"
        claims["azp" if keycloak else "client_id"] = client.client_id
        header = {"alg": ALGORITHM, "typ": "JWT" if keycloak else "at+jwt", "kid": key.kid}
        return jwt.encode(header, claims, key, algorithms=[ALGORITHM])
