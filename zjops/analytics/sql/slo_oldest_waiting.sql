-- When the oldest job was accepted of those of the last day that neither started nor ended, Unix ms; nothing where none waits.
SELECT min(accepted_at)::BIGINT AS accepted_at FROM (
    SELECT job_id, min(accepted_at) AS accepted_at FROM events
    WHERE "time" >= $after_ms - 86400000 AND "time" < $after_ms AND accepted_at >= $after_ms - 86400000
    GROUP BY job_id HAVING bool_and("type" = 'submitted')
);
