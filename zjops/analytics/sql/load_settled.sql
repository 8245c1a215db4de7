-- How far the jobs of some tenants have got: how many there are, have ended and are final (a cancelled one never goes to the chain), and
-- when the first and the last of each was, Unix ms. `final_later` became final after the first of them did.
WITH job AS (
    SELECT job_id, min(accepted_at) AS accepted,
           min("time") FILTER ("type" IN ('completed', 'failed', 'cancelled')) AS ended,
           min("time") FILTER ("type" = 'cancelled') AS cancelled, min("time") FILTER ("type" = 'confirmed') AS confirmed
    FROM events WHERE list_contains($tenants::VARCHAR[], tenant) GROUP BY job_id
)
SELECT count(*)::BIGINT AS jobs, count(ended)::BIGINT AS ended, count(coalesce(confirmed, cancelled))::BIGINT AS final,
       min(accepted) AS first_accepted, max(accepted) AS last_accepted,
       min(confirmed) AS first_final, max(confirmed) AS last_final,
       count(*) FILTER (confirmed > (SELECT min(confirmed) FROM job))::BIGINT AS final_later
FROM job;
