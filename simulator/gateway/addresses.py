"""Addresses without a valid token: their hourly limit, their failed logins, their bans (R56, R59, C15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from simulator.abuse import Abuse, is_shared_address
from simulator.gateway.headers import address_fields
from simulator.gateway.watchlist import Watchlist
from simulator.policy.ratelimit import Bucket, take
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import Problem

ANONYMOUS_PER_HOUR = 1_000
REMEMBER_MOST = 100_000
T = TypeVar("T")


def address_of(peer: str, forwarded: str | None, trusted: frozenset[str]) -> str:
    """The client's address: the last hop of X-Forwarded-For that is no trusted proxy, if the peer is one."""
    if peer not in trusted or not forwarded:
        return peer
    for hop in reversed([part.strip() for part in forwarded.split(",")]):
        if hop not in trusted:
            return hop[:64] or peer
    return peer


class AddressGuard:
    """Decides about requests that nobody is known to have sent."""

    def __init__(
        self, clock: Clock, telemetry: Telemetry, watch: Watchlist, abuse: Abuse, *, processes: int = 1,
    ) -> None:  # fmt: skip
        self._clock, self._telemetry, self._watch, self._abuse = clock, telemetry, watch, abuse
        self._share = max(1, ANONYMOUS_PER_HOUR // processes)
        self._buckets: dict[str, Bucket] = {}

    def check_ban(self, address: str) -> None:
        """Raises `Problem` (403) while the address is banned."""
        left_ms = self._watch.bans.get(address, 0) - self._clock.now_ms()
        if left_ms > 0:
            headers = {"Retry-After": str(max(1, -(-left_ms // 1000)))}
            raise Problem(
                "address-banned", "Too many failed logins came from this address.", headers=headers,
                extra={"violated-policies": ["ip"]},
            )  # fmt: skip

    def count(self, address: str) -> dict[str, str]:
        """Count a request against the hour; returns the headers. Raises `Problem` (429)."""
        bucket, decision = take(
            self._buckets.get(address), self._share / 3600, float(self._share), self._clock.now_ms()
        )
        remember(self._buckets, address, bucket)
        headers = address_fields(self._share, decision)
        if not decision.allowed:
            self._telemetry.count("rate_limit_exceeded_total", plan="none", limit="ip")
            raise Problem(
                "rate-limit-exceeded", "Too many requests without a valid token.", headers=headers,
                extra={"violated-policies": ["ip"]},
            )  # fmt: skip
        return headers

    async def failed(self, address: str) -> None:
        """Count a failed login; too many earn a ban."""
        if not is_shared_address(address) and await self._abuse.failed_login(address):
            await self._watch.refresh_soon()


def remember(known: dict[str, T], name: str, value: T) -> None:
    """Keep an entry; when there are too many, the half that was touched longest ago is dropped."""
    known.pop(name, None)
    known[name] = value
    if len(known) > REMEMBER_MOST:
        for old in list(known)[: REMEMBER_MOST // 2]:
            del known[old]


def peer_of(scope: Mapping[str, object]) -> str:
    """The address at the other end of the connection."""
    client: Any = scope.get("client")
    return str(client[0]) if client else "unknown"
