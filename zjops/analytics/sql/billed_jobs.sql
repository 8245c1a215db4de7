-- The charged jobs of a tenant's month, with what the chain was told of their usage (C72).
SELECT job_id, tenant, payload_bytes, compute_units, accepted_at FROM events_once
WHERE type IN ('completed', 'failed', 'cancelled') AND charge = 'charged' AND tenant = $tenant
  AND accepted_at >= $first_ms AND accepted_at < $after_ms;
