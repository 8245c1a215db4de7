-- Who submitted within a span of time: tenants that were there, whether or not any of their jobs has ended yet.
SELECT DISTINCT tenant FROM events_within
WHERE type = 'submitted' AND ($tenant IS NULL OR tenant = $tenant);
