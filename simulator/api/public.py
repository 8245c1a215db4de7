"""What answers without a token: health, metrics, and the token issuer's endpoints."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from simulator.api.deps import ApiDeps, answer
from simulator.identity.issuer import JWKS_PATH, REALM_PATH, TOKEN_PATH, OAuthError

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class PublicRoutes:
    """Handlers outside `/v1`."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def router(self) -> APIRouter:
        """The routes."""
        router = APIRouter(tags=["platform"])
        router.add_api_route("/livez", self.livez, methods=["GET"])
        router.add_api_route("/readyz", self.readyz, methods=["GET"])
        router.add_api_route("/metrics", self.metrics, methods=["GET"])
        router.add_api_route(TOKEN_PATH, self.token, methods=["POST"])
        router.add_api_route(JWKS_PATH, self.jwks, methods=["GET"])
        for path in (
            "/.well-known/oauth-authorization-server" + REALM_PATH,
            REALM_PATH + "/.well-known/openid-configuration",
        ):
            router.add_api_route(path, self.metadata, methods=["GET"], operation_id=path)
        return router

    async def livez(self) -> Response:
        """This process runs."""
        return answer({"status": "ok"})

    async def readyz(self) -> Response:
        """Every dependency answers; 503 names those that do not."""
        parts = await self._deps.readiness()
        return answer({"ready": all(parts.values()), "parts": parts}, 200 if all(parts.values()) else 503)

    async def metrics(self) -> Response:
        """Metrics in the Prometheus text format."""
        return Response(self._deps.telemetry.metrics_text(), media_type=PROMETHEUS)

    async def token(self, request: Request) -> Response:
        """The token endpoint (RFC 6749 section 4.4)."""
        try:
            reply = await self._deps.issuer.token(request.headers.get("authorization"), await request.body())
        except OAuthError as exc:
            if exc.status == 401:
                self._deps.telemetry.count("auth_failures_total", reason="client")
            headers = NO_STORE | ({"WWW-Authenticate": 'Basic realm="zama"'} if exc.status == 401 else {})
            return answer({"error": exc.code, "error_description": str(exc)}, exc.status, headers)
        return answer(reply, headers=NO_STORE)

    async def jwks(self) -> Response:
        """The issuer's public keys (RFC 7517)."""
        return answer(self._deps.issuer.jwks())

    async def metadata(self) -> Response:
        """Authorization server metadata (RFC 8414)."""
        return answer(self._deps.issuer.metadata(self._deps.base_url))
