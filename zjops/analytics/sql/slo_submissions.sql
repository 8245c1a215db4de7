-- Tenants that submitted in the last hour more than ten times their hourly mean of the seven days before, and at least a hundred (R112, C61).
WITH counted AS (
    SELECT tenant, count(DISTINCT job_id) FILTER ("time" >= $after_ms - 3600000)::BIGINT AS last_hour,
           count(DISTINCT job_id) FILTER ("time" < $after_ms - 3600000)::BIGINT AS week
    FROM events
    WHERE "type" = 'submitted' AND NOT list_contains($unbilled::VARCHAR[], tenant)
      AND "time" >= $after_ms - 3600000 - 7 * 86400000 AND "time" < $after_ms
    GROUP BY tenant
)
SELECT tenant, last_hour, week FROM counted WHERE last_hour >= $least AND last_hour * 168 > $factor * week ORDER BY ALL;
