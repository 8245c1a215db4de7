-- The plans by which the jobs of some tenants were accepted, each since when: for tenants whose plan no act tells.
SELECT tenant, plan, min(accepted_at) AS since_ms
FROM events_once
WHERE type = 'submitted' AND accepted_at < $until_ms AND tenant IN (SELECT unnest($tenants::VARCHAR[]))
GROUP BY tenant, plan ORDER BY tenant, since_ms;
