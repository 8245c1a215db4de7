"""The supervisor's control API: what runs, faults, the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zjops.client.http import Http
from zjops.config import Context
from zjops.domain.errors import UsageError


class Control:
    """Speaks for the local platform's supervisor. Raises `UsageError` where there is none."""

    def __init__(self, context: Context, http: Http | None = None) -> None:
        if context.control_url is None:
            raise UsageError(f"context {context.name} has no control address; faults need a local platform")
        self._headers = {"Authorization": f"Bearer {context.control_token}"}
        self.http = http or Http(context.control_url)

    def status(self) -> dict[str, Any]:
        """Processes and faults."""
        found: dict[str, Any] = self.http.get("/status", headers=self._headers)
        return found

    def faults(self) -> dict[str, Any]:
        """`kinds`: every fault with its targets here and its parameters; `active`: what holds now."""
        found: dict[str, Any] = self.http.get("/faults", headers=self._headers)
        return found

    def fault(
        self, target: str, fault: str, lease_s: float | None = None, params: Mapping[str, float] | None = None,
        seed: int | None = None,
    ) -> str:  # fmt: skip
        """Begin a fault; returns its id. With a seed, what it does by chance is the same again. Raises `Problem`."""
        asked: dict[str, Any] = {"target": target, "fault": fault, "params": dict(params or {})}
        if lease_s is not None:
            asked["lease_s"] = lease_s
        if seed is not None:
            asked["seed"] = seed
        return str(self.http.request("POST", "/faults", json=asked, headers=self._headers).json()["id"])

    def heal(self, fault_id: str) -> None:
        """End a fault before its lease does."""
        self.http.request("DELETE", f"/faults/{fault_id}", headers=self._headers)

    def heal_all(self) -> int:
        """End every fault; returns how many there were."""
        return int(self.http.request("DELETE", "/faults", headers=self._headers).json()["healed"])

    def down(self) -> None:
        """Stop the platform."""
        self.http.request("POST", "/down", headers=self._headers)
