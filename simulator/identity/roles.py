"""Scopes (R36, C19), and roles as bundles of them (S14)."""

from __future__ import annotations

VIEWER = ("jobs:read", "jobs:outputs", "billing:read")
DEVELOPER = (*VIEWER, "jobs:submit", "jobs:cancel", "webhooks:manage")
OPERATOR = ("jobs:admin",)

ROLES: dict[str, tuple[str, ...]] = {"viewer": VIEWER, "developer": DEVELOPER, "operator": OPERATOR}

SCOPES: dict[str, str] = {
    "jobs:submit": "Submit jobs.",
    "jobs:read": "Read jobs, follow them live and prove them.",
    "jobs:cancel": "Cancel jobs.",
    "jobs:outputs": "Read the results of jobs.",
    "billing:read": "Read usage and invoices.",
    "webhooks:manage": "Manage webhook endpoints, their secrets and deliveries.",
    "privacy:manage": "Export and delete personal data.",
    "jobs:admin": "Operate the platform.",
}
