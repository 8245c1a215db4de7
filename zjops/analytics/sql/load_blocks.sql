-- The blocks that hold the jobs of some tenants.
SELECT DISTINCT block_number FROM events
WHERE list_contains($tenants::VARCHAR[], tenant) AND block_number IS NOT NULL ORDER BY block_number;
