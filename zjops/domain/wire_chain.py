"""Models of the operators' view of the chain: batches and the relayer. Amounts of wei are decimal strings."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from zjops.domain.anchoring import Act
from zjops.domain.wire import Wire

BatchState = Literal["closed", "sent", "mined", "final"]


class BatchQuery(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A keyset page of batches, newest first: those below an id, and in one state."""

    before: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    state: BatchState | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class RepairView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What a batch was before it was anchored again: adopted from another block (`adopt`) or sent again (`send`).

    `finalAt` stands where its jobs had been told of that place.
    """

    at: str
    actor: str
    act: Act
    first_sequence: int
    root: str
    tx_hash: str | None
    block_number: int | None
    block_hash: str | None
    gas_used: int | None
    final_at: str | None


class BatchView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A batch: the numbers it took, its root, how far it is on its way to the chain, and its repairs, oldest first."""

    batch_id: int
    first_sequence: int
    count: int
    root: str
    state: BatchState
    closed_at: str
    sent_at: str | None
    final_at: str | None
    tx_hash: str | None
    block_number: int | None
    block_hash: str | None
    gas_used: int | None
    gas_price_wei: str | None
    repairs: tuple[RepairView, ...] = ()


class BatchPage(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Batches, newest first; `next` is the id to go on below."""

    batches: list[BatchView]
    next: int | None


class LeafView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A leaf of a batch: its job, its number and its hash."""

    sequence: int
    job_id: str
    hash: str


class BatchDetail(BatchView, frozen=True, kw_only=True):
    """A batch with its leaves, in order of their numbers."""

    leaves: list[LeafView]


class Reanchor(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batch to anchor again after a reorganisation beyond finality, null for all that are gone; and why."""

    batch: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    reason: Annotated[str, Meta(max_length=500)] | None = None


class ReanchorView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """What an operator asked the relayer to anchor again, until it is done; `refused` says why it will not be."""

    batch: int | None
    actor: str
    at: str
    refused: str | None


class RelayerView(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """Who sends batches, how that goes, and what waits for it.

    `state`, `reason`, `address` and what follows them are what the relayer last said of itself; before it has said
    anything they are `unknown` and null. `spentWei` was spent in the last `spentSeconds` seconds.
    """

    owner: str | None
    epoch: int
    paused: bool
    state: str
    reason: str | None
    since: str | None
    address: str | None
    balance_wei: str | None
    nonce: int | None
    fee_wei: str | None
    waiting_jobs: int
    open_batches: int
    open_jobs: int
    oldest_waiting_ms: int | None
    finality: str
    block_time_seconds: float
    spent_wei: str
    spent_seconds: float
    reanchor: ReanchorView | None = None
