-- What the jobs of a span of acceptance cost and brought: confirmations, batches, gas, computing, units charged.
-- The platform's own jobs, of unbilled tenants, use gas and workers too, and are none of those that carry the cost.
SELECT count(*) FILTER (type = 'confirmed' AND NOT own) AS jobs_confirmed,
       count(DISTINCT batch_id) FILTER (type = 'confirmed') AS batches,
       coalesce(sum(gas_share) FILTER (type = 'confirmed'), 0)::BIGINT AS gas,
       count(*) FILTER (ending AND charge = 'charged' AND NOT own) AS jobs_charged,
       coalesce(sum(compute_units) FILTER (ending AND charge = 'charged' AND NOT own), 0)::BIGINT AS units_charged,
       coalesce(sum(processing_ms) FILTER (ending), 0)::BIGINT AS work_ms
FROM (
    SELECT *, type IN ('completed', 'failed', 'cancelled') AS ending,
           tenant IN (SELECT unnest($unbilled::VARCHAR[])) AS own
    FROM events_once WHERE accepted_at >= $since_ms AND accepted_at < $until_ms
);
