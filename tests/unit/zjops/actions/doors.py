"""A door that does what a test tells it, and remembers what was done through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.unit.zjops.client.test_standing import QUIET
from zjops.domain.webhooks import WebhookType
from zjops.domain.wire_admin import AdminDelivery
from zjops.domain.wire_chain import RelayerView

Fault = Exception | None


@dataclass
class ToldDoor:
    """`faults` are raised by what is done to an id; `before` is called ahead of everything that is done."""

    dead: frozenset[str] = frozenset()
    deliveries: Sequence[AdminDelivery] = ()
    view: RelayerView = QUIET
    faults: dict[str, Exception] = field(default_factory=dict)
    before: Callable[[], Any] = lambda: None
    done: list[tuple[str, str, str]] = field(default_factory=list)

    def _do(self, what: str, name: str, reason: str) -> None:
        self.before()
        if name in self.faults:
            raise self.faults[name]
        self.done.append((what, name, reason))

    def cancel_job(self, job_id: str, reason: str) -> None:
        self._do("cancel", job_id, reason)

    def retry_dead_letter(self, job_id: str, reason: str) -> str:
        self._do("retry", job_id, reason)
        return f"{job_id}-again"

    def redeliver(self, delivery_id: str, reason: str) -> None:
        self._do("redeliver", delivery_id, reason)

    def pause_relayer(self, paused: bool, reason: str) -> None:
        self._do("pause" if paused else "resume", "relayer", reason)

    def dead_letter_ids(self) -> frozenset[str]:
        return self.dead

    def deliveries_of(self, job_ids: Sequence[str]) -> list[AdminDelivery]:
        return [one for one in self.deliveries if one.job_id in job_ids]

    def relayer(self) -> RelayerView:
        return self.view


def delivery(name: str, job: str, state: Any = "failed", host: str = "a.example", *, gone: bool = False) -> Any:
    """A delivery of a job."""
    return AdminDelivery(
        tenant="acme", delivery_id=name, endpoint_id="we_1", url=f"https://key@{host}/hook", job_id=job,
        type=WebhookType.COMPLETED, state=state, attempts=5, gone=gone,
    )  # fmt: skip
