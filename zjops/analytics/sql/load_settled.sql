-- How far the jobs of some tenants have got: how many there are and are final (a cancelled one never goes to the chain), when the last was
-- accepted, and when the first and the last became final, Unix ms. `final_later` became final after the first of them did.
WITH job AS (
    SELECT job_id, min(accepted_at) AS accepted,
           min("time") FILTER ("type" = 'cancelled') AS cancelled, min("time") FILTER ("type" = 'confirmed') AS confirmed
    FROM events WHERE list_contains($tenants::VARCHAR[], tenant) GROUP BY job_id
)
SELECT count(*)::BIGINT AS jobs, count(coalesce(confirmed, cancelled))::BIGINT AS final, max(accepted) AS last_accepted,
       min(confirmed) AS first_final, max(confirmed) AS last_final,
       count(*) FILTER (confirmed > (SELECT min(confirmed) FROM job))::BIGINT AS final_later
FROM job;
