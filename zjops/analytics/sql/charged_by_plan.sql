-- What was charged in a month (C70, C76), by tenant and by the plan under which the job was accepted.
-- The month is that of acceptance, so that neither the arrival nor the end of a job moves it to another invoice.
SELECT tenant, plan, sum(compute_units)::BIGINT AS units, count(*) AS jobs
FROM events_once
WHERE type IN ('completed', 'failed', 'cancelled') AND charge = 'charged'
  AND accepted_at >= $first_ms AND accepted_at < $after_ms
  AND ($tenant IS NULL OR tenant = $tenant)
GROUP BY tenant, plan;
