-- Whose use of a month went above what its plan lets it use, job by job in the order in which jobs were accepted.
-- Use is what was held and charged (R54): a job adds its units, and takes them away again when they are released.
-- The limits come as lists: of whom, from when to before when, how many units.
WITH limits AS (
    SELECT unnest($tenants::VARCHAR[]) AS tenant, unnest($sinces::BIGINT[]) AS since_ms,
           unnest($untils::BIGINT[]) AS until_ms, unnest($units::BIGINT[]) AS limit_units
), steps AS (
    SELECT tenant, accepted_at, type,
           sum(CASE type WHEN 'submitted' THEN compute_units ELSE -compute_units END)
               OVER (PARTITION BY tenant ORDER BY stream_seq) AS used
    FROM events_once
    WHERE accepted_at >= $first_ms AND accepted_at < $after_ms AND tenant IN (SELECT tenant FROM limits)
      AND (type = 'submitted' OR (type IN ('completed', 'failed', 'cancelled') AND charge = 'released'))
)
SELECT tenant, since_ms, limit_units, min(accepted_at) AS first_ms, max(used)::BIGINT AS peak_units
FROM steps JOIN limits USING (tenant)
WHERE type = 'submitted' AND accepted_at >= since_ms AND accepted_at < until_ms AND used > limit_units
GROUP BY ALL ORDER BY tenant, since_ms;
