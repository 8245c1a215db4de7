"""What a process of the generator is told before it begins: the scenario, the platform, its share. Travels as JSON."""

from __future__ import annotations

import msgspec

from zjops.domain.runfile import ClientEntry
from zjops.load.records import TenantMade
from zjops.load.scenario import Scenario


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The same for every process. `began_ms` is when the first second begins, Unix ms; `hook` takes webhooks."""

    scenario: Scenario
    seed: int
    api_url: str
    token_url: str
    clients: list[ClientEntry]
    tenants: list[TenantMade]
    workers: int
    began_ms: int
    hook: str | None = None
    folder: str | None = None


def encode(plan: Plan) -> str:
    """As text."""
    return msgspec.json.encode(plan).decode()


def decode(text: str) -> Plan:
    """From text."""
    return msgspec.json.decode(text, type=Plan)
