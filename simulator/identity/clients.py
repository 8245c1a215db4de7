"""OAuth clients: machine-made secrets, kept as salted hashes.

A secret is 256 bits of randomness, so a plain SHA-256 with a salt is as hard to reverse as a slow hash of a password,
and does not let a stranger burn processor time on the token endpoint.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from simulator.identity.roles import DEVELOPER, OPERATOR
from simulator.store.port import Tx
from zjops.domain.ids import Ids

SCOPES = DEVELOPER
ADMIN_SCOPES = OPERATOR


class Client(NamedTuple):
    """An authenticated client with the scopes that it may ask for."""

    client_id: str
    tenant: str
    scopes: tuple[str, ...]


def _hash(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()


def store_client(
    tx: Tx, ids: Ids, *, client_id: str, secret: str, tenant: str, scopes: tuple[str, ...], now: int
) -> None:
    """Make a client, or give an existing one this secret and these scopes."""
    salt = ids.token(16)
    tx.run(
        "client_put", client_id=client_id, tenant=tenant, secret_hash=_hash(salt, secret), secret_salt=salt,
        scopes=" ".join(scopes), now=now,
    )  # fmt: skip


def authenticate(tx: Tx, client_id: str, secret: str) -> Client | None:
    """The client of these credentials, or None; unknown clients take as long as wrong secrets."""
    row = tx.one("client_get", client_id=client_id)
    salt, expected = (row["secret_salt"], row["secret_hash"]) if row else (b"\0" * 16, b"\0" * 32)
    good = hmac.compare_digest(_hash(salt, secret), expected)
    if row is None or not good or row["status"] != "active":
        return None
    return Client(client_id, row["tenant"], tuple(row["scopes"].split()))
