-- Minutes of the request indicators by plan (C78): good and bad for availability, answers by a 2xx and those of them within 300 and 500 ms.
-- Probes count in the availability of every plan, each bad that was not answered by a 2xx in its time (C79); what the API answered to them
-- does not count again. Latency is that of callers alone. Plan `all` is every plan together.
WITH counted AS (
    SELECT "second" // 60 AS "minute", plan,
           sum(errors_5xx + timeouts)::BIGINT AS bad, sum("count" - errors_5xx - timeouts)::BIGINT AS good,
           sum(CASE WHEN status BETWEEN 200 AND 299 THEN "count" ELSE 0 END)::BIGINT AS answered,
           sum(within_300ms)::BIGINT AS within_300ms, sum(within_500ms)::BIGINT AS within_500ms
    FROM requests
    WHERE source = 'api' AND plan NOT IN ('none', 'prober')
      AND "second" >= $first_ms // 1000 AND "second" < $after_ms // 1000
    GROUP BY ALL
), probed AS (
    SELECT "second" // 60 AS "minute", sum("count")::BIGINT AS probes,
           sum(CASE WHEN status BETWEEN 200 AND 299 THEN errors_5xx + timeouts ELSE "count" END)::BIGINT AS bad
    FROM requests
    WHERE source = 'prober' AND "second" >= $first_ms // 1000 AND "second" < $after_ms // 1000
    GROUP BY ALL
), every AS (
    SELECT "minute", plan, bad, good, answered, within_300ms, within_500ms FROM counted WHERE plan <> 'unknown'
    UNION ALL
    SELECT "minute", 'all', bad, good, answered, within_300ms, within_500ms FROM counted
    UNION ALL
    SELECT "minute", unnest($plans::VARCHAR[]), bad, probes - bad, 0, 0, 0 FROM probed
)
SELECT plan, "minute"::BIGINT AS "minute", sum(good)::BIGINT AS good, sum(bad)::BIGINT AS bad,
       sum(answered)::BIGINT AS answered, sum(within_300ms)::BIGINT AS within_300ms,
       sum(within_500ms)::BIGINT AS within_500ms
FROM every WHERE list_contains($plans::VARCHAR[], plan)
GROUP BY ALL ORDER BY ALL;
