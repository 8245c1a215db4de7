-- Jobs and units by what was asked for, by the UTC day of acceptance. Reserved = charged + released + held.
SELECT /*KEYS*/
       count(*) FILTER (type = 'submitted') AS jobs,
       count(*) FILTER (ending AND charge = 'charged') AS jobs_charged,
       coalesce(sum(compute_units) FILTER (type = 'submitted'), 0)::BIGINT AS units_reserved,
       coalesce(sum(compute_units) FILTER (ending AND charge = 'charged'), 0)::BIGINT AS units_charged,
       coalesce(sum(compute_units) FILTER (ending AND charge = 'released'), 0)::BIGINT AS units_released,
       units_reserved - units_charged - units_released AS units_held
FROM (
    SELECT *, type IN ('completed', 'failed', 'cancelled') AS ending,
           strftime(make_timestamp(accepted_at * 1000), '%Y-%m-%d') AS "day",
           strftime(make_timestamp(accepted_at * 1000), '%Y-%m') AS "month"
    FROM events_once
    WHERE accepted_at >= $since_ms AND accepted_at < $until_ms AND ($tenant IS NULL OR tenant = $tenant)
)
GROUP BY ALL ORDER BY ALL;
