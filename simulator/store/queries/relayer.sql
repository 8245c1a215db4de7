-- Batches on their way to the chain.

-- name: anchor_due
SELECT count(*) AS count, min(completed_at) AS oldest FROM
  (SELECT completed_at FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL ORDER BY settled_no LIMIT :most);

-- name: anchor_next
SELECT id, salt, tenant, status, result_keccak, payload_bytes, compute_units, accepted_at
FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL ORDER BY settled_no LIMIT :most;

-- name: batch_next_sequence
SELECT coalesce(max(first_sequence + count), 1) AS first FROM batches;

-- name: batch_insert
INSERT INTO batches (first_sequence, count, root, state, closed_at) VALUES (:first, :count, :root, 'closed', :now);

-- name: batch_last
SELECT max(id) AS id FROM batches;

-- name: job_batched
UPDATE jobs SET batch_id = ?, chain_sequence = ?, leaf_index = ? WHERE id = ?;

-- name: batches_open
SELECT * FROM batches WHERE state <> 'final' ORDER BY id LIMIT :most;

-- name: batches_newest_final
SELECT * FROM batches WHERE state = 'final' ORDER BY id DESC LIMIT :most;

-- name: batch_get
SELECT * FROM batches WHERE id = :id;

-- name: batch_transaction_put
INSERT INTO batch_transactions (tx_hash, batch_id, sender, nonce, gas, max_fee, max_tip, raw, signed_at)
VALUES (:tx_hash, :batch_id, :sender, :nonce, :gas, :max_fee, :max_tip, :raw, :now) ON CONFLICT (tx_hash) DO NOTHING;

-- name: batch_transactions
-- The newest first: the one that is likely to be mined.
SELECT * FROM batch_transactions WHERE batch_id = :batch_id ORDER BY n DESC;

-- name: nonce_behind
-- The nonce behind those of the open batches before one.
SELECT coalesce(max(t.nonce) + 1, 0) AS nonce FROM batch_transactions t JOIN batches b ON b.id = t.batch_id
WHERE b.state IN ('sent', 'mined') AND b.id < :batch_id AND t.sender = :sender;

-- name: nonce_fees
-- The most that was offered under a nonce: what takes its place must offer more.
SELECT max(max_fee) AS max_fee, max(max_tip) AS max_tip FROM batch_transactions
WHERE sender = :sender AND nonce = :nonce;

-- name: batch_sent
UPDATE batches SET state = 'sent', tx_hash = :tx_hash, sent_at = :now WHERE id = :id AND state <> 'final';

-- name: batch_mined
UPDATE batches SET state = 'mined', tx_hash = :tx_hash, block_number = :block_number, block_hash = :block_hash,
  gas_used = :gas_used, gas_price = :gas_price WHERE id = :id AND state <> 'final';

-- name: batch_unmined
-- A reorganisation took its block away: the same transactions go out again.
UPDATE batches SET state = 'sent', block_number = NULL, block_hash = NULL WHERE id = :id AND state = 'mined';

-- name: batches_reopened
-- This batch and those behind it are signed anew: what was signed for them cannot be mined any more.
UPDATE batches SET state = 'closed', tx_hash = NULL WHERE id >= :id AND state = 'sent';

-- name: batch_final
UPDATE batches SET state = 'final', final_at = :now WHERE id = :id AND state = 'mined';

-- name: batch_jobs
SELECT * FROM jobs WHERE batch_id = :batch_id ORDER BY leaf_index;

-- name: batch_outcomes
-- The jobs of a batch without their parameters and results.
SELECT id, tenant, plan, job_type, status, accepted_at, payload_bytes, compute_units, charge, error_code, attempt,
  processing_ms, chain_sequence, leaf_index, traceparent, callback_url, salt, result_keccak
FROM jobs WHERE batch_id = :batch_id ORDER BY leaf_index;

-- name: tenants_told
-- Tenants of a batch whose endpoints hear of a change.
SELECT DISTINCT j.tenant FROM jobs j JOIN webhook_endpoints w ON w.tenant = j.tenant AND w.status = 'active'
WHERE j.batch_id = :batch_id;

-- name: job_confirmed
UPDATE jobs SET status = ?, tx_hash = ?, block_number = ?, gas_share = ?, confirmed_at = ?, updated_at = ?
WHERE id = ? AND confirmed_at IS NULL;
