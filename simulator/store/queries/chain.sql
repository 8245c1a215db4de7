-- What operators see of batches and the relayer.

-- name: batches_page
SELECT * FROM batches WHERE (:before IS NULL OR id < :before) AND (:state IS NULL OR state = :state)
ORDER BY id DESC LIMIT :most;

-- name: batches_page_open
-- The same in one state before the last, by the index of those: of very many batches few are open.
SELECT * FROM batches WHERE state <> 'final' AND state = :state AND (:before IS NULL OR id < :before)
ORDER BY id DESC LIMIT :most;

-- name: repairs_between
-- Repairs of the batches of a page, oldest first.
SELECT * FROM batch_repairs WHERE batch_id BETWEEN :lowest AND :highest ORDER BY batch_id, n;

-- name: batch_leaves
SELECT id, tenant, status, salt, result_keccak, payload_bytes, compute_units, accepted_at, chain_sequence
FROM jobs WHERE batch_id = :batch_id ORDER BY leaf_index;

-- name: chain_waiting
-- Outcomes that are not in a batch, batches that are not final, and since when the oldest of all of them waits.
SELECT (SELECT count(*) FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL) AS waiting_jobs,
  (SELECT count(*) FROM batches WHERE state <> 'final') AS open_batches,
  (SELECT coalesce(sum(count), 0) FROM batches WHERE state <> 'final') AS open_jobs,
  coalesce(
    (SELECT min(completed_at) FROM jobs WHERE batch_id = (SELECT min(id) FROM batches WHERE state <> 'final')),
    (SELECT min(completed_at) FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL)
  ) AS oldest;

-- name: chain_spent
-- In floating point: a day's wei may not fit into an integer of the store. Reverted transactions cost too.
SELECT total(CAST(gas_used AS REAL) * gas_price) AS wei, min(mined_at) AS since
FROM batch_transactions WHERE mined_at > :since;
