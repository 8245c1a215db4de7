-- Good and all requests of a month by plan (C78): bad are 5xx and timeouts. What the prober asked counts for every plan, and
-- of its probes every one is bad that was not answered by a 2xx in its time (C79).
SELECT plan, source, sum("count")::BIGINT AS total,
  sum(CASE WHEN source = 'prober' AND status NOT BETWEEN 200 AND 299 THEN 0
           ELSE "count" - errors_5xx - timeouts END)::BIGINT AS good
FROM requests
WHERE second >= $first_ms // 1000 AND second < $after_ms // 1000 AND (source = 'prober' OR plan <> 'none')
GROUP BY plan, source;
