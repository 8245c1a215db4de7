-- How long after its acceptance a job of some tenants took each step: ms, and how many took so long. The time of a block comes from the chain,
-- in whole seconds, and that of a webhook from whoever received it; both are handed in. Only jobs accepted from a moment on count.
WITH job AS (
    SELECT job_id, min(accepted_at) AS accepted,
           min("time") FILTER ("type" = 'processing') AS processing,
           min("time") FILTER ("type" IN ('completed', 'failed', 'cancelled')) AS ended,
           min("time") FILTER ("type" = 'confirmed') AS confirmed, max(block_number) AS block_number
    FROM events WHERE list_contains($tenants::VARCHAR[], tenant) AND accepted_at >= $since_ms GROUP BY job_id
), block AS (
    SELECT unnest($blocks::BIGINT[]) AS block_number, unnest($block_ms::BIGINT[]) AS mined
), hook AS (
    SELECT unnest($hook_jobs::VARCHAR[]) AS job, unnest($hook_ms::BIGINT[]) AS came
), step AS (
    SELECT 'started' AS hop, least(processing, ended) - accepted AS took FROM job
    UNION ALL SELECT 'completed', ended - accepted FROM job
    UNION ALL SELECT 'mined', mined - accepted FROM job JOIN block USING (block_number)
    UNION ALL SELECT 'final', confirmed - accepted FROM job
    UNION ALL SELECT 'webhook', min(came) - any_value(accepted) FROM job JOIN hook ON lower(hex(job_id)) = hook.job GROUP BY job_id
)
SELECT hop, greatest(took, 0)::BIGINT AS ms, count(*)::BIGINT AS jobs FROM step WHERE took IS NOT NULL GROUP BY ALL ORDER BY ALL;
