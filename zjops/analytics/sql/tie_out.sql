-- The month's identities from the log alone, by the UTC month of acceptance: every job is accepted once and ends once at most,
-- every unit that was reserved is charged, released or still held, and what is confirmed has ended.
WITH once AS (
    SELECT job_id,
           count(*) FILTER (type = 'submitted') AS accepted, count(*) FILTER (type = 'completed') AS completed,
           count(*) FILTER (type = 'failed') AS failed, count(*) FILTER (type = 'cancelled') AS cancelled,
           count(*) FILTER (type = 'confirmed') AS confirmed,
           coalesce(sum(compute_units) FILTER (type = 'submitted'), 0)::BIGINT AS reserved,
           coalesce(sum(compute_units) FILTER (type IN ('completed', 'failed', 'cancelled') AND charge = 'charged'), 0)::BIGINT
               AS charged,
           coalesce(sum(compute_units) FILTER (type IN ('completed', 'failed', 'cancelled') AND charge = 'released'), 0)::BIGINT
               AS released
    FROM events_once
    WHERE accepted_at >= $first_ms AND accepted_at < $after_ms AND tenant NOT IN (SELECT unnest($unbilled::VARCHAR[]))
    GROUP BY job_id
), judged AS (
    SELECT *, CASE
        WHEN accepted <> 1 THEN 'accepted ' || accepted || ' times'
        WHEN completed + failed + cancelled > 1 THEN 'ended ' || (completed + failed + cancelled) || ' times'
        WHEN completed + failed + cancelled = 1 AND charged + released <> reserved THEN
            'reserved ' || reserved || ', charged ' || charged || ', released ' || released
        WHEN confirmed > completed + failed THEN 'confirmed and not completed or failed'
        WHEN confirmed > 1 THEN 'confirmed ' || confirmed || ' times'
        END AS wrong,
        completed + failed + cancelled = 0 AS in_flight, completed + failed - confirmed > 0 AS awaiting
    FROM once
)
SELECT count(*) AS accepted, coalesce(sum(completed), 0)::BIGINT AS completed, coalesce(sum(failed), 0)::BIGINT AS failed,
       coalesce(sum(cancelled), 0)::BIGINT AS cancelled, count(*) FILTER (in_flight) AS in_flight,
       coalesce(sum(confirmed), 0)::BIGINT AS confirmed, count(*) FILTER (awaiting) AS awaiting_finality,
       coalesce(sum(reserved), 0)::BIGINT AS reserved, coalesce(sum(charged), 0)::BIGINT AS charged,
       coalesce(sum(released), 0)::BIGINT AS released, coalesce(sum(reserved) FILTER (in_flight), 0)::BIGINT AS held,
       count(wrong) AS wrong,
       list((job_id, wrong) ORDER BY job_id) FILTER (wrong IS NOT NULL)[1:$most] AS wrong_jobs,
       list(job_id ORDER BY job_id) FILTER (in_flight)[1:$most] AS in_flight_jobs,
       list(job_id ORDER BY job_id) FILTER (awaiting)[1:$most] AS awaiting_jobs
FROM judged;
