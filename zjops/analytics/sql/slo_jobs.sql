-- Minutes of the job indicators by plan (C59, C78, S13). A job is good in the minute in which it started, was final or ended in its time; it is
-- bad in the minute in which that time was over, so that a dead worker shows while nothing happens, and no minute changes afterwards.
-- A failure that the client is to blame for is charged (C70) and left out. Plan `all` is every plan together.
WITH job AS (
    SELECT job_id, min(plan) AS plan, min(accepted_at) AS accepted,
           min("time") FILTER ("type" = 'processing') AS processing,
           min("time") FILTER ("type" = 'completed') AS completed,
           min("time") FILTER ("type" = 'failed') AS failed,
           min("time") FILTER ("type" = 'failed' AND charge <> 'charged') AS failed_by_us,
           min("time") FILTER ("type" = 'cancelled') AS cancelled,
           min("time") FILTER ("type" = 'confirmed') AS confirmed
    FROM events
    WHERE NOT list_contains($unbilled::VARCHAR[], tenant)
      AND "time" >= $first_ms - $longest_ms AND "time" < $after_ms
    GROUP BY job_id
), moment AS (
    SELECT *, least(processing, completed, failed) AS started, least(completed, failed, cancelled) AS ended FROM job
), judged AS (
    -- Cancelled in its time and never started: neither good nor bad.
    SELECT 'start' AS kind, limit_ms, plan, accepted + limit_ms AS due, started AS came,
           started IS NULL AND cancelled <= accepted + limit_ms AS void
    FROM moment, unnest($start::BIGINT[]) AS asked(limit_ms)
    UNION ALL
    SELECT 'confirmation', limit_ms, plan, completed + limit_ms, confirmed, false
    FROM moment, unnest($confirmation::BIGINT[]) AS asked(limit_ms) WHERE completed IS NOT NULL
    UNION ALL
    SELECT 'job-duration', limit_ms, plan, accepted + limit_ms, ended, false
    FROM moment, unnest($duration::BIGINT[]) AS asked(limit_ms)
    UNION ALL
    SELECT 'job-success', 0, plan, completed, completed, false FROM moment WHERE completed IS NOT NULL
    UNION ALL
    SELECT 'job-success', 0, plan, failed_by_us, NULL, false FROM moment WHERE failed_by_us IS NOT NULL
), placed AS (
    SELECT kind, limit_ms, plan, coalesce(came <= due, false) AS good,
           (CASE WHEN coalesce(came <= due, false) THEN came ELSE due END) // 60000 AS "minute"
    FROM judged WHERE void IS NOT TRUE
)
SELECT kind, limit_ms, coalesce(plan, 'all') AS plan, "minute"::BIGINT AS "minute",
       count(*) FILTER (good)::BIGINT AS good, count(*) FILTER (NOT good)::BIGINT AS bad
FROM placed
WHERE "minute" >= $first_ms // 60000 AND "minute" < $after_ms // 60000
GROUP BY GROUPING SETS ((kind, limit_ms, plan, "minute"), (kind, limit_ms, "minute"))
ORDER BY ALL;
