"""Models of what answers without a token; names as the standards spell them."""

from __future__ import annotations

import msgspec


class Health(msgspec.Struct, frozen=True):
    """It runs."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether every part answers, and which."""

    ready: bool
    parts: dict[str, bool]


class OAuthFault(msgspec.Struct, frozen=True):
    """An error of the token endpoint (RFC 6749 section 5.2)."""

    error: str
    error_description: str


class Metadata(msgspec.Struct, frozen=True):
    """Authorization server metadata (RFC 8414)."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    scopes_supported: list[str]
    service_documentation: str


class ResourceMetadata(msgspec.Struct, frozen=True):
    """Protected resource metadata (RFC 9728)."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_documentation: str
