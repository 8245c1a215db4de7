-- Requests by minute; rows that were folded to minutes and rows of seconds add up to the same.
CREATE OR REPLACE VIEW requests_by_minute AS
SELECT make_timestamp(("second" - "second" % 60) * 1000000) AS "minute", source, route, "method", status, plan,
       sum("count")::BIGINT AS requests, sum(within_300ms)::BIGINT AS within_300ms,
       sum(within_500ms)::BIGINT AS within_500ms, sum(errors_5xx)::BIGINT AS errors_5xx,
       sum(timeouts)::BIGINT AS timeouts
FROM requests GROUP BY ALL;
COMMENT ON VIEW requests_by_minute IS 'What the API answered, by minute, source, route, method, status and plan.';
COMMENT ON COLUMN requests_by_minute."minute" IS 'start of the minute, UTC';
COMMENT ON COLUMN requests_by_minute.source IS 'api, or prober for what was seen from outside';
COMMENT ON COLUMN requests_by_minute.route IS 'path template';
COMMENT ON COLUMN requests_by_minute."method" IS 'HTTP method';
COMMENT ON COLUMN requests_by_minute.status IS 'HTTP status';
COMMENT ON COLUMN requests_by_minute.plan IS 'the caller''s plan';
COMMENT ON COLUMN requests_by_minute.requests IS 'requests';
COMMENT ON COLUMN requests_by_minute.within_300ms IS 'of those, answered within 300 ms';
COMMENT ON COLUMN requests_by_minute.within_500ms IS 'of those, answered within 500 ms';
COMMENT ON COLUMN requests_by_minute.errors_5xx IS 'of those, answered by a 5xx';
COMMENT ON COLUMN requests_by_minute.timeouts IS 'of those, not answered in time';
