"""Accounts that operators or the abuse rules have linked share one allowance (R63)."""

from __future__ import annotations

from simulator.store.port import Tx


def linked_usage(tx: Tx, tenant: str, month: str) -> int:
    """Units held and charged this month by a tenant and everyone it is linked with."""
    row = tx.one("usage_linked", tenant=tenant, month=month)
    return row["used"] if row else 0
