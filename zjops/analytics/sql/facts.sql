-- One row a job, for the audit: what its events repeat, whether all of them say the same, whether each says what its type
-- alone decides, and what its ending and its confirmation tell. Nothing is counted DISTINCT beside the rest: that takes a
-- table of its own, which does not leave the memory.
WITH twice AS (
    SELECT DISTINCT job_id FROM (SELECT job_id FROM events_within GROUP BY job_id, event_id HAVING count(*) > 1)
), told AS (
    SELECT *, type NOT IN ('submitted', 'processing') AS ends, coalesce(error_code, '') AS error FROM events_within
), fact AS (
    SELECT job_id, any_value(tenant) AS tenant, any_value(plan) AS plan, any_value(job_type) AS job_type,
           any_value(accepted_at) AS accepted_at, any_value(payload_bytes) AS payload_bytes,
           any_value(compute_units) AS compute_units,
           min(tenant) = max(tenant) AND min(plan) = max(plan) AND min(job_type) = max(job_type)
               AND min(accepted_at) = max(accepted_at) AND min(payload_bytes) = max(payload_bytes)
               AND min(compute_units) = max(compute_units)
               AND coalesce(min(charge) FILTER (ends) = max(charge) FILTER (ends), true)
               AND coalesce(min(error) FILTER (ends) = max(error) FILTER (ends), true) AS alike,
           count(*) AS events,
           bool_and(CASE type
               WHEN 'submitted' THEN status = 'pending' AND attempt = 0 AND time = accepted_at AND charge = 'held'
               WHEN 'processing' THEN status = 'processing' AND attempt > 0 AND charge = 'held'
               WHEN 'confirmed' THEN status IN ('confirmed', 'failed')
               ELSE status = type END
               AND (type = 'confirmed' OR coalesce(batch_id, chain_sequence, leaf_index, block_number, gas_share) IS NULL
                   AND tx_hash IS NULL AND block_hash IS NULL)
               AND (ends OR error_code IS NULL) AND event_id IS NOT NULL) AS sound,
           max(attempt) FILTER (type = 'processing') AS started,
           count(*) FILTER (type = 'confirmed') AS confirmed,
           max(time) FILTER (type = 'confirmed') AS confirmed_at, max(batch_id) AS batch_id,
           max(chain_sequence) AS chain_sequence, max(leaf_index) AS leaf_index, max(gas_share) AS gas_share,
           max(block_number) AS block_number, max(tx_hash) AS tx_hash, max(block_hash) AS block_hash,
           min(charge) FILTER (ends) AS charge, min(error) FILTER (ends) AS error_code,
           min(attempt) FILTER (ends) AS first_attempt, max(attempt) FILTER (ends) AS last_attempt
    FROM told GROUP BY job_id
)
SELECT fact.*, twice.job_id IS NOT NULL AS twice FROM fact LEFT JOIN twice USING (job_id);
