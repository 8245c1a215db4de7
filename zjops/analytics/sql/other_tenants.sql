-- Tenants besides those that are known: who submitted before the month, or so lately that the job need not have ended yet.
SELECT DISTINCT tenant FROM (
    SELECT tenant FROM events WHERE type = 'submitted' AND accepted_at < least($first_ms, $until_ms)
    UNION ALL
    SELECT tenant FROM events WHERE type = 'submitted' AND accepted_at >= $recent_ms AND accepted_at < $until_ms
)
WHERE ($tenant IS NULL OR tenant = $tenant) AND tenant NOT IN (SELECT unnest($known::VARCHAR[]));
