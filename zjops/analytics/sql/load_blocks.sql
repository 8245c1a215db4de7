-- The blocks that hold jobs of some tenants which were accepted from a moment on.
SELECT DISTINCT block_number FROM events
WHERE list_contains($tenants::VARCHAR[], tenant) AND accepted_at >= $since_ms AND block_number IS NOT NULL ORDER BY block_number;
