"""The model of one job as an operator sees it whole: with its deliveries and its proof."""

from __future__ import annotations

from zjops.domain.jobs import Charge
from zjops.domain.wire import JobView, ProofView, Wire
from zjops.domain.wire_webhooks import DeliveryView


class AdminJobDetail(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One job across tenants.

    `proof` is null before its outcome is final on chain; `resultKeccak256` is the digest of the result that the leaf
    holds, null before the job has ended. `deliveries` are the newest hundred of its webhooks, oldest first.
    """

    tenant: str
    plan: str
    charge: Charge
    dead_letter: bool
    job: JobView
    result_keccak256: str | None
    proof: ProofView | None
    deliveries: list[DeliveryView]
