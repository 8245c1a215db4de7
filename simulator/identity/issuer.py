"""The token issuer: client credentials grant (RFC 6749 section 4.4), access tokens after RFC 9068, ES256."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from joserfc import jwt
from joserfc.jwk import ECKey

from simulator.identity.clients import Client, authenticate
from simulator.store.port import Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.errors import ZjopsError
from zjops.domain.ids import Ids
from zjops.domain.wire import TokenReply

LIFETIME_S = 900
ALGORITHM = "ES256"
REALM_PATH = "/realms/zama"
TOKEN_PATH = REALM_PATH + "/protocol/openid-connect/token"
JWKS_PATH = REALM_PATH + "/protocol/openid-connect/certs"


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
        except (binascii.Error, UnicodeDecodeError):
            found = ""
        if not found:
            raise OAuthError("invalid_client", "The Authorization header is not HTTP Basic.")
        return unquote(name), unquote(secret)
    if "client_id" in form and "client_secret" in form:
        return form["client_id"], form["client_secret"]
    raise OAuthError("invalid_client", "Send client credentials by HTTP Basic.")


class Issuer:
    """Issues tokens and publishes what others need to verify them."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, *, issuer: str, audience: str) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self.issuer, self.audience = issuer, audience
        self._keys: list[ECKey] = []

    async def start(self) -> None:
        """Load the signing keys, making the first one."""
        if not self._keys:
            rows = await self._store.transact(self._ensure_key)
            self._keys = [ECKey.import_key(json.loads(row["jwk"])) for row in rows]

    async def stop(self) -> None:
        return None

    def _ensure_key(self, tx: Tx) -> list[dict[str, Any]]:
        if not tx.one("keys_active"):
            kid = self._ids.token(8).hex()
            key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": ALGORITHM}, private=True)
            tx.run("key_put", kid=kid, jwk=json.dumps(key.as_dict(private=True)), now=self._clock.now_ms())
        return tx.all("keys_active")

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def metadata(self, base: str) -> dict[str, Any]:
        """Authorization server metadata (RFC 8414)."""
        return {
            "issuer": self.issuer,
            "token_endpoint": base + TOKEN_PATH,
            "jwks_uri": base + JWKS_PATH,
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": [
                "jobs:submit",
                "jobs:read",
                "jobs:cancel",
                "jobs:outputs",
                "billing:read",
                "jobs:admin",
            ],
        }

    async def token(self, authorization: str | None, body: bytes) -> TokenReply:
        """Answer a token request. Raises `OAuthError`."""
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            raise OAuthError("unsupported_grant_type", "Only client_credentials is granted here.")
        name, secret = credentials(authorization, form)
        client = await self._store.read(lambda tx: authenticate(tx, name, secret))
        if client is None:
            raise OAuthError("invalid_client", "Unknown client or wrong secret.")
        asked = tuple(form["scope"].split()) if form.get("scope") else client.scopes
        if not set(asked) <= set(client.scopes):
            raise OAuthError(
                "invalid_scope", "The client may not ask for: " + " ".join(set(asked) - set(client.scopes))
            )
        return TokenReply(self._sign(client, " ".join(asked)), LIFETIME_S, " ".join(asked))

    def _sign(self, client: Client, scope: str) -> str:
        now, key = self._clock.now_ms() // 1000, self._keys[0]
        claims = {
            "iss": self.issuer, "aud": self.audience, "sub": client.client_id, "client_id": client.client_id,
            "tenant_id": client.tenant, "scope": scope, "iat": now, "exp": now + LIFETIME_S,
            "jti": str(self._ids.uuid()),
        }  # fmt: skip
        return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key.kid}, claims, key, algorithms=[ALGORITHM])
