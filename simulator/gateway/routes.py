"""Which scope each operation needs (R36), and what needs no token at all."""

from __future__ import annotations

import re

PUBLIC = ("/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/realms/", "/.well-known/")

_JOB = r"/v1/jobs/[^/]+"
_SCOPES = [
    (re.compile(r"/v1/admin(/.*)?"), None, "jobs:admin"),
    (re.compile(r"/v1/jobs"), "POST", "jobs:submit"),
    (re.compile(_JOB + "/cancel"), "POST", "jobs:cancel"),
    (re.compile(_JOB + "/result"), "GET", "jobs:outputs"),
    (re.compile(r"/v1/jobs(/.*)?"), None, "jobs:read"),
]


def is_public(path: str) -> bool:
    """Whether a path answers without a token."""
    return path.startswith(PUBLIC)


def scope_for(method: str, path: str) -> str | None:
    """The scope that a request needs; None for a path that does not exist, which then answers 404."""
    for pattern, wanted, scope in _SCOPES:
        if pattern.fullmatch(path) and wanted in (None, method):
            return scope
    return None


def route_name(path: str) -> str:
    """The path with ids taken out, for metrics."""
    return re.sub(r"(/v1/(?:jobs|admin/tenants|admin/dead-letters))/[^/]+", r"\1/{id}", path)
