"""What answers without a token: health, metrics, documents, and the token issuer's endpoints."""

from __future__ import annotations

import importlib.resources
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.contract.operation import Answer, Header, Operation
from simulator.api.deps import ApiDeps, answer
from simulator.gateway.context import context_of
from simulator.identity.issuer import (
    FORM,
    JWKS_PATH,
    REALM_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    Issuer,
    OAuthError,
    read_form,
)
from simulator.identity.roles import SCOPES
from zjops.domain.errors import Problem
from zjops.domain.wire import TokenReply
from zjops.domain.wire_public import Health, Metadata, OAuthFault, Readiness, ResourceMetadata

PROMETHEUS = "text/plain"
FORM_BYTES = 65_536
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
BASIC = Header("Authorization", "HTTP Basic with client id and secret.", {"type": "string"})
FORM_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "grant_type": {"type": "string", "const": "client_credentials"},
        "scope": {"type": "string", "description": "Space separated; all of the client's when left out."},
        "client_id": {"type": "string"},
        "client_secret": {"type": "string"},
        "client_assertion_type": {"type": "string"},
        "client_assertion": {"type": "string", "description": "private_key_jwt (RFC 7523)."},
    },
    "required": ["grant_type"],
}
REVOKE_BODY: dict[str, Any] = {
    "type": "object",
    "properties": {"token": {"type": "string"}, "token_type_hint": {"type": "string"},
                   "client_id": {"type": "string"}, "client_secret": {"type": "string"}},
    "required": ["token"],
}  # fmt: skip
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Zama Jobs API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="data:,"></head>
<body><div id="page"></div><script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script></body></html>
"""
START = """SwaggerUIBundle({url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null,
  defaultModelsExpandDepth: 0, docExpansion: "list"});
"""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
)
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


@cache
def _asset(name: str) -> bytes:
    return importlib.resources.files("fastapi_offline").joinpath("static", name).read_bytes()


async def _form_body(request: Request) -> bytes:
    """The body of a form: from strangers, so it is given up as soon as it is longer than any form can be."""
    parts, left = [], FORM_BYTES
    async for part in request.stream():
        left -= len(part)
        if left < 0:
            raise Problem("payload-too-large", f"A form may hold {FORM_BYTES} bytes.")
        parts.append(part)
    return b"".join(parts)


class PublicRoutes:
    """Handlers outside `/v1`."""

    def __init__(self, deps: ApiDeps, document: Any) -> None:
        self._deps, self._document = deps, document

    def operations(self) -> list[Operation]:
        """The operations of this part; the issuer's only where tokens are issued here."""
        ready = {503: Answer(503, "Something does not answer.", Readiness)}

        def get(id: str, path: str, call: Any, model: Any, media: str = "application/json", **more: Any) -> Operation:
            good = (Answer(200, "As asked.", model, media),)
            return Operation(id=id, method="GET", path=path, call=call, tag="platform", answers=good, **more)

        found = [
            get("livez", "/livez", self.livez, Health),
            get("readyz", "/readyz", self.readyz, Readiness, errors=ready),
            get("healthz", "/healthz", self.healthz, Health, errors=ready),
            get("metrics", "/metrics", self.metrics, None, PROMETHEUS),
            get("openapi", "/openapi.json", self.openapi, msgspec.Raw),
            get("docs", "/docs", self.docs, None, "text/html"),
            get("resourceMetadata", "/.well-known/oauth-protected-resource", self.resource, ResourceMetadata),
        ]
        return found if self._deps.issuer is None else found + self._issuing(self._deps.issuer)

    def _issuing(self, issuer: Issuer) -> list[Operation]:
        oauth = {400: Answer(400, "RFC 6749 section 5.2.", OAuthFault), 401: Answer(401, "Unknown client.", OAuthFault)}
        banned = ("address-banned", "rate-limit-exceeded")

        def make(id: str, method: str, path: str, call: Any, good: Answer, **more: Any) -> Operation:
            return Operation(id=id, method=method, path=path, call=call, tag="identity", answers=(good,), **more)

        metadata = Answer(200, "Metadata.", Metadata)
        return [
            make("issueToken", "POST", TOKEN_PATH, self.token, Answer(200, "A token.", TokenReply), stored=True,
                 problems=banned, errors=oauth, body_media=FORM, body_schema=FORM_BODY, headers=(BASIC,)),
            make("revokeToken", "POST", REVOKE_PATH, self.revoke, Answer(200, "Revoked.", None, None), stored=True,
                 problems=banned, errors=oauth, body_media=FORM, body_schema=REVOKE_BODY, headers=(BASIC,)),
            make("jwks", "GET", JWKS_PATH, self.jwks, Answer(200, "Public keys.", dict[str, Any])),
            make("serverMetadata", "GET", "/.well-known/oauth-authorization-server" + REALM_PATH, self.metadata,
                 metadata),
            make("keycloakMetadata", "GET", REALM_PATH + "/.well-known/openid-configuration", self.metadata, metadata),
        ]  # fmt: skip

    async def livez(self, request: Request) -> Response:
        """This process runs (S1)."""
        return answer(Health(status="ok"))

    async def readyz(self, request: Request) -> Response:
        """Every dependency answers; 503 names those that do not (S1)."""
        parts = await self._deps.readiness()
        good = all(parts.values())
        return answer(Readiness(ready=good, parts=parts), 200 if good else 503)

    async def healthz(self, request: Request) -> Response:
        """Like livez; with `deep=1` like readyz (S1)."""
        if request.query_params.get("deep") != "1":
            return answer(Health(status="ok"))
        parts = await self._deps.readiness()
        good = all(parts.values())
        return answer(Health(status="ok") if good else Readiness(ready=good, parts=parts), 200 if good else 503)

    async def metrics(self, request: Request) -> Response:
        """Metrics in the Prometheus text format."""
        return Response(self._deps.telemetry.metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, request: Request) -> Response:
        """This contract as OpenAPI 3.1."""
        return Response(self._document(), media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def docs(self, request: Request) -> Response:
        """The contract as a page; everything it loads comes from this server."""
        return Response(PAGE, media_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY})

    async def asset(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["name"]
        if name == "start.js":
            return Response(START, media_type="text/javascript")
        if name not in ASSETS:
            raise Problem("not-found", "There is no such file.")
        return Response(_asset(name), media_type=ASSETS[name], headers={"Cache-Control": "max-age=3600"})

    async def resource(self, request: Request) -> Response:
        """Protected resource metadata (RFC 9728)."""
        return answer(ResourceMetadata(
            resource=self._deps.settings.audience, authorization_servers=[self._deps.verifier.issuer],
            scopes_supported=list(SCOPES), bearer_methods_supported=["header"],
            resource_documentation=self._deps.base_url + "/docs",
        ))  # fmt: skip

    async def token(self, request: Request) -> Response:
        """Issue an access token by client credentials (RFC 6749 section 4.4)."""
        assert self._deps.issuer is not None
        return await self._oauth(request, self._deps.issuer.token)

    async def revoke(self, request: Request) -> Response:
        """Revoke an access token (RFC 7009)."""
        assert self._deps.issuer is not None
        answered = await self._oauth(request, self._deps.issuer.revoke)
        if answered.status_code != 200:
            return answered
        await self._deps.watch.refresh_soon()
        return Response(status_code=200, headers=NO_STORE)

    async def _oauth(self, request: Request, act: Any) -> Response:
        context, guard = context_of(request.scope), self._deps.addresses
        guard.check_ban(context.address)
        try:
            form = read_form(request.headers.get("content-type", ""), await _form_body(request))
            return answer(await act(request.headers.get("authorization"), form), headers=NO_STORE)
        except OAuthError as exc:
            context.headers.update(guard.count(context.address))
            if exc.status == 401:
                self._deps.telemetry.count("auth_failures_total", reason="client")
                await guard.failed(context.address)
            headers = NO_STORE | ({"WWW-Authenticate": 'Basic realm="zama"'} if exc.status == 401 else {})
            return answer(OAuthFault(error=exc.code, error_description=str(exc)), exc.status, headers)

    async def jwks(self, request: Request) -> Response:
        """The issuer's public keys (RFC 7517)."""
        assert self._deps.issuer is not None
        await self._deps.issuer.keys.refresh()
        return answer(self._deps.issuer.keys.jwks())

    async def metadata(self, request: Request) -> Response:
        """Authorization server metadata (RFC 8414)."""
        assert self._deps.issuer is not None
        return answer(self._deps.issuer.metadata(self._deps.base_url))
