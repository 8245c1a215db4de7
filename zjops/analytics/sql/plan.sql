-- The plan by which a tenant's newest job of a month was accepted.
SELECT arg_max(plan, accepted_at) AS plan FROM events
WHERE tenant = $tenant AND accepted_at >= $first_ms AND accepted_at < $after_ms;
