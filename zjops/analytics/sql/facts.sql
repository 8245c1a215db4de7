-- One row a job, for the audit: what its events repeat, whether all of them say the same, and what its confirmation tells.
SELECT job_id, any_value(tenant) AS tenant, any_value(plan) AS plan, any_value(job_type) AS job_type,
       any_value(accepted_at) AS accepted_at, any_value(payload_bytes) AS payload_bytes,
       any_value(compute_units) AS compute_units,
       min(tenant) = max(tenant) AND min(plan) = max(plan) AND min(job_type) = max(job_type)
           AND min(accepted_at) = max(accepted_at) AND min(payload_bytes) = max(payload_bytes)
           AND min(compute_units) = max(compute_units) AS alike,
       count(*) <> count(DISTINCT event_id) AS twice,
       max(batch_id) AS batch_id, max(chain_sequence) AS chain_sequence,
       max(leaf_index) FILTER (type = 'confirmed') AS leaf_index, max(gas_share) AS gas_share,
       string_agg(DISTINCT charge) FILTER (type IN ('completed', 'failed', 'cancelled')) AS charge,
       max(error_code) FILTER (type IN ('completed', 'failed', 'cancelled')) AS error_code,
       bool_and(charge = 'held') FILTER (type IN ('submitted', 'processing')) AS held
FROM events GROUP BY job_id;
