-- Every act that set a tenant's plan or negotiated values before a moment, by the act's own time, then its id (C76).
SELECT DISTINCT tenant, time, event_id, action, "values" FROM ops_once
WHERE action IN ('tenant.create', 'tenant.change', 'plan.upgrade', 'plan.downgrade') AND time < $after_ms
  AND ($tenant IS NULL OR tenant = $tenant)
ORDER BY tenant, time, event_id;
