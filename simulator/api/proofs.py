"""The proof of a job: leaf, path, batch and transaction."""

from __future__ import annotations

from simulator.chain.port import ChainIdentity
from simulator.intake.endings import find_job
from simulator.relayer.leaves import leaf_of, tree_of
from simulator.store.port import Row, Tx
from zjops.domain.errors import Problem
from zjops.domain.jobs import JobState
from zjops.domain.wire import ProofBatch, ProofLeaf, ProofTransaction, ProofUsage, ProofView

Found = tuple[Row, Row, list[Row]]


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def refuse_cancelled(row: Row, what: str) -> None:
    """What a job lacks for good is another answer than what is not there yet. Raises `Problem`."""
    if row["status"] == JobState.CANCELLED.value:
        raise Problem("conflict", f"The job was cancelled: it is not recorded on chain and will never have a {what}.")


def read_proof(tx: Tx, tenant: str, name: str) -> Found:
    """The job, its batch and all jobs of that. Raises `Problem`."""
    row = find_job(tx, tenant, name)
    batch = None if row["confirmed_at"] is None else tx.one("batch_get", id=row["batch_id"])
    if batch is None:
        refuse_cancelled(row, "proof")
        raise Problem("not-final", f"The job is {row['status']}; a proof exists once its outcome is final on chain.")
    if batch["state"] != "final":
        raise Problem("not-final", "The job's batch was reorganised away; it is anchored again and not final yet.")
    return row, batch, tx.all("batch_outcomes", batch_id=row["batch_id"])


def proof_view(found: Found, name: str, chain: ChainIdentity) -> ProofView:
    """What anyone needs to check the job."""
    row, batch, rows = found
    leaf = leaf_of(row, row["chain_sequence"])
    path = tree_of(rows, batch["first_sequence"]).proof(row["leaf_index"])
    return ProofView(
        job_id=name, tenant_id=row["tenant"], status=JobState(row["status"]), salt=_hex(row["salt"]),
        leaf=ProofLeaf(
            sequence=leaf.sequence, job_key=_hex(leaf.job_key), result_digest=_hex(leaf.result_digest),
            usage_digest=_hex(leaf.usage_digest), status=leaf.status,
        ),
        usage=ProofUsage(
            payload_bytes=row["payload_bytes"], compute_units=row["compute_units"],
            accepted_at_unix_ms=row["accepted_at"],
        ),
        proof=[_hex(node) for node in path],
        batch=ProofBatch(
            id=batch["id"], first_sequence=batch["first_sequence"], count=batch["count"], root=_hex(batch["root"])
        ),
        transaction=ProofTransaction(
            hash=batch["tx_hash"], block_number=batch["block_number"], gas_used=batch["gas_used"]
        ),
        chain_id=chain.chain_id, contract=chain.contract,
    )  # fmt: skip
