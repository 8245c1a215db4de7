-- Batches on their way to the chain.

-- name: anchor_due
SELECT count(*) AS count, min(completed_at) AS oldest FROM
  (SELECT completed_at FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL ORDER BY settled_no LIMIT :most);

-- name: anchor_next
SELECT * FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL ORDER BY settled_no LIMIT :most;

-- name: batch_next_sequence
SELECT coalesce(max(first_sequence + count), 1) AS first FROM batches;

-- name: batch_insert
INSERT INTO batches (first_sequence, count, root, state, closed_at) VALUES (:first, :count, :root, 'closed', :now);

-- name: batch_last
SELECT max(id) AS id FROM batches;

-- name: job_batched
UPDATE jobs SET batch_id = :batch_id, chain_sequence = :chain_sequence, leaf_index = :leaf_index WHERE id = :id;

-- name: batches_open
SELECT * FROM batches WHERE state <> 'final' ORDER BY id LIMIT :most;

-- name: batch_get
SELECT * FROM batches WHERE id = :id;

-- name: batch_sent
UPDATE batches SET state = 'sent', tx_hash = :tx_hash, sent_at = :now WHERE id = :id AND state <> 'final';

-- name: batch_mined
UPDATE batches SET state = 'mined', tx_hash = :tx_hash, block_number = :block_number, block_hash = :block_hash,
  gas_used = :gas_used, gas_price = :gas_price WHERE id = :id AND state <> 'final';

-- name: batch_reopened
UPDATE batches SET state = 'closed', tx_hash = NULL, block_number = NULL, block_hash = NULL
WHERE id = :id AND state <> 'final';

-- name: batch_final
UPDATE batches SET state = 'final', final_at = :now WHERE id = :id AND state = 'mined';

-- name: batch_jobs
SELECT * FROM jobs WHERE batch_id = :batch_id ORDER BY leaf_index;

-- name: job_confirmed
UPDATE jobs SET status = :status, tx_hash = :tx_hash, block_number = :block_number, gas_share = :gas_share,
  confirmed_at = :now, updated_at = :now WHERE id = :id AND confirmed_at IS NULL;
