-- What was charged of the jobs that a tenant had accepted from one moment to before another: one term of its month.
SELECT coalesce(sum(compute_units), 0)::BIGINT AS units, count(*) AS jobs
FROM events_once
WHERE type IN ('completed', 'failed', 'cancelled') AND charge = 'charged'
  AND tenant = $tenant AND accepted_at >= $since_ms AND accepted_at < $until_ms;
