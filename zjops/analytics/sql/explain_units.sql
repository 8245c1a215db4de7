-- The charged jobs of a tenant's month whose units lie in given intervals, in the order of acceptance, with the event that
-- charged each and the confirmation that anchors it. `counted` is how many of a job's units the line bills.
WITH charged AS (
    SELECT job_id, event_id, stream_seq, type, accepted_at, compute_units,
           sum(compute_units) OVER (ORDER BY accepted_at, job_id ROWS UNBOUNDED PRECEDING) - compute_units AS before
    FROM events_once
    WHERE type IN ('completed', 'failed', 'cancelled') AND charge = 'charged' AND tenant = $tenant
      AND accepted_at >= $first_ms AND accepted_at < $after_ms
), spans AS (
    SELECT unnest($starts::BIGINT[]) AS span_start, unnest($ends::BIGINT[]) AS span_end
), confirmed AS (
    SELECT job_id, batch_id, chain_sequence, leaf_index, tx_hash FROM events_once
    WHERE type = 'confirmed' AND tenant = $tenant
)
SELECT c.job_id, c.event_id, c.stream_seq, c.type, c.accepted_at, c.compute_units,
       sum(least(before + compute_units, span_end) - greatest(before, span_start))::BIGINT AS counted,
       any_value(batch_id) AS batch_id, any_value(chain_sequence) AS chain_sequence, any_value(leaf_index) AS leaf_index,
       any_value(tx_hash) AS tx_hash
FROM charged c JOIN spans ON before < span_end AND before + compute_units > span_start
LEFT JOIN confirmed USING (job_id)
GROUP BY c.job_id, c.event_id, c.stream_seq, c.type, c.accepted_at, c.compute_units
ORDER BY c.accepted_at, c.job_id;
