-- Credit notes that were granted in a month (S11), each once.
SELECT DISTINCT tenant, time, reason, "values" FROM ops_once
WHERE kind = 'credit' AND action = 'credit.grant' AND time >= $first_ms AND time < $after_ms
  AND ($tenant IS NULL OR tenant = $tenant)
ORDER BY tenant, time, "values";
