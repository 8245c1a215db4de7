-- Good and all requests of a month by plan (C78): bad are 5xx and timeouts. What the prober asked counts for every plan.
SELECT plan, source, sum("count")::BIGINT AS total, sum("count" - errors_5xx - timeouts)::BIGINT AS good
FROM requests
WHERE second >= $first_ms // 1000 AND second < $after_ms // 1000 AND (source = 'prober' OR plan <> 'none')
GROUP BY plan, source;
