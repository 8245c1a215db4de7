-- Requests that were refused with 401 between two moments (R112).
SELECT coalesce(sum("count"), 0)::BIGINT AS refused FROM requests
WHERE source = 'api' AND status = 401 AND "second" >= $first_ms // 1000 AND "second" < $after_ms // 1000;
