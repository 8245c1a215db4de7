-- What a tenant is billed for in a month (C70, C76): jobs whose reservation was charged, by the UTC month of acceptance.
-- An event that stands twice in the log counts once.
SELECT count(*) AS jobs, coalesce(sum(compute_units), 0)::BIGINT AS compute_units,
       arg_max(plan, time) AS plan, max(stream_seq) AS through_sequence
FROM (SELECT DISTINCT ON (event_id) * FROM events)
WHERE tenant = $tenant AND type IN ('completed', 'failed', 'cancelled') AND charge = 'charged'
  AND accepted_at >= $first_ms AND accepted_at < $after_ms;
