"""What is read of a platform by polling, as it stands in a recording: a name and a model each."""

from __future__ import annotations

import msgspec

from zjops.domain.wire import TenantView
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_chain import RelayerView

PLATFORM, RELAYER, TENANTS, CHAIN_HEAD, PROCESSES = "platform", "relayer", "tenants", "chain", "processes"


class ChainHead(msgspec.Struct, frozen=True, kw_only=True):
    """The newest block: its number, its own time in Unix s, and the price of gas."""

    height: int
    made_s: int
    base_fee_wei: int


class ProcessSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the platform as its supervisor sees it."""

    name: str
    state: str
    restarts: int
    ready: bool
    roles: tuple[str, ...] = ()


__all__ = [
    "CHAIN_HEAD", "PLATFORM", "PROCESSES", "RELAYER", "TENANTS", "ChainHead", "PlatformState", "ProcessSeen",
    "RelayerView", "TenantView",
]  # fmt: skip
