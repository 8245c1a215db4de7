-- Batches on their way to the chain.

-- name: anchor_due
SELECT count(*) AS count, min(completed_at) AS oldest FROM
  (SELECT completed_at FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL ORDER BY settled_no LIMIT :most);

-- name: anchor_next
SELECT id, salt, tenant, status, result_keccak, payload_bytes, compute_units, accepted_at
FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL ORDER BY settled_no LIMIT :most;

-- name: anchor_places
-- Who is next, without a look at the jobs themselves: what has settled gets another number when it settles again.
SELECT id, settled_no FROM jobs WHERE settled_no IS NOT NULL AND batch_id IS NULL ORDER BY settled_no LIMIT :most;

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
-- By block: a batch that was moved behind others lies above batches with higher ids.
SELECT * FROM batches WHERE state = 'final' ORDER BY block_number DESC, id DESC LIMIT :most OFFSET :skip;

-- name: batch_get
SELECT * FROM batches WHERE id = :id;

-- name: batch_transaction_put
INSERT INTO batch_transactions (tx_hash, batch_id, sender, nonce, gas, max_fee, max_tip, raw, signed_at)
VALUES (:tx_hash, :batch_id, :sender, :nonce, :gas, :max_fee, :max_tip, :raw, :now) ON CONFLICT (tx_hash) DO NOTHING;

-- name: batch_transactions
-- The newest first: the one that is likely to be mined.
SELECT * FROM batch_transactions WHERE batch_id = :batch_id ORDER BY n DESC;

-- name: transaction_cost
UPDATE batch_transactions SET gas_used = :gas_used, gas_price = :gas_price, mined_at = :now WHERE tx_hash = :tx_hash;

-- name: transactions_cost_nothing
-- A reorganisation took their blocks away, and gave back what they cost.
UPDATE batch_transactions SET gas_used = NULL, gas_price = NULL, mined_at = NULL WHERE batch_id = :id;

-- name: nonce_behind
-- The nonce behind those of the open batches before one: by what was sent last for each, not by what was given up.
-- The few open batches come first, by their index: that of all transactions grows for ever.
SELECT coalesce(max(t.nonce) + 1, 0) AS nonce FROM batches b CROSS JOIN batch_transactions t ON t.tx_hash = b.tx_hash
WHERE b.state <> 'final' AND b.state IN ('sent', 'mined') AND b.id < :batch_id AND t.sender = :sender;

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

-- name: batch_outcomes
-- The jobs of a batch without their parameters and results.
SELECT id, tenant, plan, job_type, status, accepted_at, payload_bytes, compute_units, charge, error_code, attempt,
  processing_ms, chain_sequence, leaf_index, traceparent, callback_url, salt, result_keccak, confirmed_at
FROM jobs WHERE batch_id = :batch_id ORDER BY leaf_index;

-- name: tenants_told
-- Tenants of a batch whose endpoints hear of a change.
SELECT DISTINCT j.tenant FROM jobs j JOIN webhook_endpoints w ON w.tenant = j.tenant AND w.status = 'active'
WHERE j.batch_id = :batch_id;

-- name: job_confirmed
UPDATE jobs SET status = ?, tx_hash = ?, block_number = ?, gas_share = ?, confirmed_at = ?, updated_at = ?
WHERE id = ? AND confirmed_at IS NULL;

-- name: job_reanchored
-- A job that was confirmed before: where its outcome stands now, and nothing else.
UPDATE jobs SET tx_hash = ?, block_number = ?, updated_at = ? WHERE id = ? AND confirmed_at IS NOT NULL;

-- name: batches_unanchored
-- Every batch that is not final.
SELECT * FROM batches WHERE state <> 'final' ORDER BY id;

-- name: batches_held_end
-- The number behind every batch that is final below a block.
SELECT coalesce(max(first_sequence + count), 1) AS following FROM batches
WHERE state = 'final' AND (:block IS NULL OR block_number < :block);

-- name: batch_repair_put
-- What a batch is before it is repaired.
INSERT INTO batch_repairs (batch_id, at, actor, act, first_sequence, root, tx_hash, block_number, block_hash, gas_used,
  final_at)
SELECT id, :now, :actor, :act, first_sequence, root, tx_hash, block_number, block_hash, gas_used, final_at
FROM batches WHERE id = :id;

-- name: batch_repairs
SELECT * FROM batch_repairs WHERE batch_id = :batch_id ORDER BY n;

-- name: batch_adopted
-- It was mined again in another block: final once that is deep enough.
UPDATE batches SET state = 'mined', tx_hash = :tx_hash, block_number = :block_number, block_hash = :block_hash,
  gas_used = :gas_used, gas_price = :gas_price, final_at = NULL WHERE id = :id;

-- name: batch_lost
-- It stands nowhere: what was signed for it goes out again.
UPDATE batches SET state = 'sent', block_number = NULL, block_hash = NULL, gas_used = NULL, gas_price = NULL,
  final_at = NULL WHERE id = :id;

-- name: batch_numbers_freed
-- Out of the way first: numbers are unique, and several batches move at once.
UPDATE batches SET first_sequence = -first_sequence WHERE id = :id;

-- name: batch_renumbered
-- Under other numbers it has another root, so that what was signed for it is void.
UPDATE batches SET first_sequence = :first, root = :root, state = 'closed', tx_hash = NULL, block_number = NULL,
  block_hash = NULL, gas_used = NULL, gas_price = NULL, final_at = NULL WHERE id = :id;

-- name: job_renumbered
UPDATE jobs SET chain_sequence = ? WHERE id = ?;
