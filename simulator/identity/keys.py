"""Signing keys and their rotation: published before they sign, kept until the last token under them has expired."""

from __future__ import annotations

import json
from typing import Any

from joserfc.jwk import ECKey

from simulator.store.port import Row, Store, Tx
from zjops.domain.clock import Clock
from zjops.domain.ids import Ids

ALGORITHM = "ES256"
REMEMBER_S = 5.0


def signing_kid(rows: list[Row], now_ms: int, lead_ms: int) -> str:
    """Which of the active keys signs: the newest that has been published long enough, else the oldest."""
    ready = [row for row in rows if row["created_at"] <= now_ms - lead_ms]
    chosen = max(ready, key=_age) if ready else min(rows, key=_age)
    return str(chosen["kid"])


def retired_kids(rows: list[Row], now_ms: int, lead_ms: int, lifetime_ms: int) -> list[str]:
    """Keys under which no token can be valid any more: a newer one has signed for longer than a token lives."""
    done = [row for row in rows if row["created_at"] <= now_ms - lead_ms - lifetime_ms]
    newest = max(done, key=_age, default=None)
    return [row["kid"] for row in done if row is not newest]


def _age(row: Row) -> tuple[int, str]:
    return row["created_at"], row["kid"]


class SigningKeys:
    """The keys in the store, shared by all processes of the API; read anew every few seconds."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, *, lead_s: int, lifetime_s: int) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._lead_ms, self._lifetime_ms = lead_s * 1000, lifetime_s * 1000
        self._rows: list[Row] = []
        self._keys: dict[str, ECKey] = {}
        self._read_at = float("-inf")

    async def refresh(self, force: bool = False) -> None:
        """Read the keys when what is known is old; make the first one."""
        if not force and self._clock.monotonic() - self._read_at < REMEMBER_S:
            return
        rows = await self._store.read(lambda tx: tx.all("keys_active"))
        self._use(rows or await self._store.transact(self._first))

    def _use(self, rows: list[Row]) -> None:
        self._rows = rows
        self._keys = {row["kid"]: ECKey.import_key(json.loads(row["jwk"])) for row in rows}
        self._read_at = self._clock.monotonic()

    def _first(self, tx: Tx) -> list[Row]:
        if not tx.one("keys_active"):
            # Nobody can have seen an older one, so the first may sign at once.
            self._make(tx, self._clock.now_ms() - self._lead_ms)
        return tx.all("keys_active")

    def _make(self, tx: Tx, at: int) -> str:
        kid = self._ids.token(8).hex()
        key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": ALGORITHM}, private=True)
        tx.run("key_put", kid=kid, jwk=json.dumps(key.as_dict(private=True)), now=at)
        return kid

    def rotate(self, tx: Tx) -> str:
        """Add a key, which signs after the lead, and retire what is past use; returns its kid."""
        kid, now = self._make(tx, self._clock.now_ms()), self._clock.now_ms()
        for old in retired_kids(tx.all("keys_active"), now, self._lead_ms, self._lifetime_ms):
            tx.run("key_retire", kid=old)
        return kid

    def signing(self) -> ECKey:
        """The key that signs now."""
        return self._keys[signing_kid(self._rows, self._clock.now_ms(), self._lead_ms)]

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517), the next one among them before it signs."""
        return {"keys": [key.as_dict(private=False) for key in self._keys.values()]}


class RemoteKeys:
    """The keys of an issuer elsewhere: fetched when an unknown kid asks for them, not more often than now and then."""

    LEAST_S = 10.0

    def __init__(self, clock: Clock, fetch: Any) -> None:
        self._clock, self._fetch = clock, fetch
        self._known: dict[str, Any] = {"keys": []}
        self._read_at = float("-inf")

    async def refresh(self, force: bool = False) -> None:
        """Fetch when nothing is known yet, or when forced and the last time is long enough ago."""
        if (force or not self._known["keys"]) and self._clock.monotonic() - self._read_at >= self.LEAST_S:
            self._read_at = self._clock.monotonic()
            self._known = await self._fetch()

    def jwks(self) -> dict[str, Any]:
        """What was last fetched."""
        return self._known
