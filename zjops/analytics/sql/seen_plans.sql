-- The plans by which the jobs of tenants were accepted, each since when: for tenants of whom nothing else tells it.
SELECT tenant, plan, min(accepted_at) AS since_ms
FROM events_once
WHERE type = 'submitted' AND accepted_at < $until_ms AND ($tenant IS NULL OR tenant = $tenant)
  AND tenant NOT IN (SELECT unnest($known::VARCHAR[]))
GROUP BY tenant, plan ORDER BY tenant, since_ms;
